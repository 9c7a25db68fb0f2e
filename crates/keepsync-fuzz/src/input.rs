//! How the bytes of an input are read. Nothing is refused: what does not fit means something all the same,
//! so that a mutation is rarely in vain.

/// How the body of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    Broken,
    TooLarge,
}

/// An answer over HTTP: a line with the status and words (`broken`, `large`, `elsewhere`), header lines, an
/// empty line, and the body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) elsewhere: bool,
    pub(crate) end: End,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let (head, body) = split(bytes, b"\n\n");
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut words = first.split(' ');
        let status = words.next().and_then(|status| status.parse().ok()).unwrap_or(200);
        let words: Vec<&str> = words.collect();
        let headers = lines.map(|line| {
            let (name, value) = split(line, b":");
            (name.to_vec(), value.trim_ascii().to_vec())
        });
        Self {
            status,
            elsewhere: words.contains(&"elsewhere"),
            end: match (words.contains(&"broken"), words.contains(&"large")) {
                (true, _) => End::Broken,
                (_, true) => End::TooLarge,
                _ => End::Whole,
            },
            headers: headers.collect(),
            body: body.to_vec(),
        }
    }

    /// Answers with `%%` on a line of its own between them.
    pub(crate) fn read_all(mut bytes: &[u8]) -> Vec<Self> {
        let mut replies = Vec::new();
        while !bytes.is_empty() && replies.len() < 24 {
            let (one, rest) = split(bytes, b"\n%%\n");
            replies.push(Self::read(one));
            bytes = rest;
        }
        replies
    }

    /// The first header of this name that a device would see.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let is_wanted = |name: &[u8]| name.eq_ignore_ascii_case(wanted.as_bytes());
        let arrives = |value: &[u8]| value.iter().all(|byte| *byte >= 32 && *byte != 127 || *byte == b'\t');
        let mut found = self
            .headers
            .iter()
            .filter(|(name, value)| is_wanted(name) && arrives(value));
        let (_, value) = found.next()?;
        let is_text = value.iter().all(|byte| (32..127).contains(byte) || *byte == b'\t');
        std::str::from_utf8(value).ok().filter(|_| is_text)
    }

    /// Whether the media type is this one, whatever its parameters.
    pub(crate) fn is_of(&self, media_type: &str) -> bool {
        let value = self.header("content-type").unwrap_or_default();
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .eq_ignore_ascii_case(media_type)
    }

    /// Whether it says of itself that it is a Keepsync backend's, and arrived whole from where it was asked.
    pub(crate) fn is_ours(&self) -> bool {
        self.header("keepsync-protocol")
            .is_some_and(|value| value.trim() == "1")
            && self.is_of("application/json")
            && self.end == End::Whole
            && !self.elsewhere
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..=299).contains(&self.status)
    }
}

/// Before and after the first `mark`; all of it, and nothing, if there is none.
pub(crate) fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    match bytes.windows(mark.len()).position(|window| window == mark) {
        Some(at) => (&bytes[..at], &bytes[at + mark.len()..]),
        None => (bytes, &[]),
    }
}

/// The first line, and what follows it.
pub(crate) fn first_line(bytes: &[u8]) -> (String, &[u8]) {
    let (line, rest) = split(bytes, b"\n");
    (String::from_utf8_lossy(line).into_owned(), rest)
}

/// So many lines as texts; missing ones are empty.
pub(crate) fn lines<const N: usize>(bytes: &[u8]) -> [String; N] {
    let mut rest = bytes;
    std::array::from_fn(|_| {
        let (line, after) = first_line(rest);
        rest = after;
        line
    })
}

/// A future over the script never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a request over the script waited"),
    }
}
