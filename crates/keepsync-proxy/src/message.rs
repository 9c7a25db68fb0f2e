//! One HTTP/1.1 message, read whole from a stream: enough of the protocol to know where it ends.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Larger messages are not forwarded; both ends of Keepsync stop earlier.
const MOST_BYTES: usize = 64 * 1024 * 1024;
const MOST_HEADERS: usize = 64;

/// A stream and what was read from it beyond the last message.
pub(super) struct Reader<S> {
    pub(super) stream: S,
    buffer: Vec<u8>,
}

/// A message as it came.
pub(super) struct Message {
    /// Head and body.
    pub(super) bytes: Vec<u8>,
    /// For a request: its path.
    pub(super) path: String,
    /// Whether another may follow on this stream.
    pub(super) keep: bool,
}

enum End {
    /// At this many bytes.
    At(usize),
    /// In chunks, of which the first begins here.
    Chunks(usize),
    /// With the stream.
    Stream,
}

struct Head {
    path: String,
    end: End,
    keep: bool,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The next request; `None` if the stream ended before it began.
    pub(super) async fn request(&mut self) -> io::Result<Option<Message>> {
        if self.buffer.is_empty() && self.more().await? == 0 {
            return Ok(None);
        }
        self.message(request_head).await.map(Some)
    }

    /// Waits for the first byte of an answer.
    pub(super) async fn first_byte(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() && self.more().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> io::Result<Message> {
        self.message(answer_head).await
    }

    /// Waits until the other end closes; what it sends is dropped.
    pub(super) async fn closed(&mut self) {
        loop {
            self.buffer.clear();
            if !matches!(self.more().await, Ok(1..)) {
                return;
            }
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        if self.buffer.len() >= MOST_BYTES {
            return Err(broken("too large"));
        }
        self.stream.read_buf(&mut self.buffer).await
    }

    async fn message(&mut self, parse: fn(&[u8]) -> io::Result<Option<Head>>) -> io::Result<Message> {
        let head = loop {
            if let Some(head) = parse(&self.buffer)? {
                break head;
            }
            self.need().await?;
        };
        let (length, keep) = match head.end {
            End::At(length) => {
                while self.buffer.len() < length {
                    self.need().await?;
                }
                (length, head.keep)
            }
            End::Chunks(start) => {
                let mut at = start;
                let length = loop {
                    match chunk(&self.buffer, at)? {
                        Some((end, true)) => break end,
                        Some((end, false)) => at = end,
                        None => self.need().await?,
                    }
                };
                (length, head.keep)
            }
            End::Stream => {
                while self.more().await? > 0 {}
                (self.buffer.len(), false)
            }
        };
        let rest = self.buffer.split_off(length);
        Ok(Message {
            bytes: std::mem::replace(&mut self.buffer, rest),
            path: head.path,
            keep,
        })
    }

    async fn need(&mut self) -> io::Result<()> {
        match self.more().await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn request_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes).map_err(|_| broken("not a request"))?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path).to_owned();
    let (end, keep) = framing(request.headers, length, End::At(length))?;
    Ok(Some(Head { path, end, keep }))
}

fn answer_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|_| broken("not an answer"))?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let (mut end, keep) = framing(answer.headers, length, End::Stream)?;
    if matches!(answer.code, Some(204 | 304)) {
        end = End::At(length);
    }
    Ok(Some(Head {
        path: String::new(),
        end,
        keep,
    }))
}

/// Where a message ends whose head has `length` bytes, and whether the connection stays.
fn framing(headers: &[httparse::Header<'_>], length: usize, otherwise: End) -> io::Result<(End, bool)> {
    let (mut end, mut keep) = (otherwise, true);
    for header in headers {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            end = End::Chunks(length);
        } else if header.name.eq_ignore_ascii_case("content-length") && !matches!(end, End::Chunks(_)) {
            let body: usize = value.parse().map_err(|_| broken("content-length"))?;
            end = End::At(length.saturating_add(body));
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep = !value.eq_ignore_ascii_case("close");
        }
    }
    Ok((end, keep))
}

/// The end of the chunk that begins at `at`, and whether it was the last; `None` if it is not all
/// there.
fn chunk(bytes: &[u8], at: usize) -> io::Result<Option<(usize, bool)>> {
    let rest = bytes.get(at..).unwrap_or_default();
    let parsed = httparse::parse_chunk_size(rest).map_err(|_| broken("chunk"))?;
    let httparse::Status::Complete((head, size)) = parsed else {
        return Ok(None);
    };
    let size = usize::try_from(size).map_err(|_| broken("chunk"))?;
    // The last chunk has no bytes; trailers are not used on this wire.
    let end = at.saturating_add(head).saturating_add(size).saturating_add(2);
    Ok((bytes.len() >= end).then_some((end, size == 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answers(bytes: &'static [u8], count: usize) -> Vec<Vec<u8>> {
        // One byte at a time: every boundary is met.
        let (mut writer, stream) = tokio::io::duplex(1);
        tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut writer, bytes).await });
        let mut reader = Reader::new(stream);
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(reader.answer().await.unwrap().bytes);
        }
        all
    }

    #[tokio::test]
    async fn messages_that_follow_each_other_are_told_apart() {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let sized = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwxyz";
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        let all: Vec<u8> = [&chunked[..], sized, empty, sized].concat();
        let told = answers(all.leak(), 4).await;
        assert_eq!(told, [&chunked[..], sized, empty, sized]);
    }

    #[tokio::test]
    async fn a_stream_that_ends_in_the_middle_is_an_error() {
        let (mut writer, stream) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nshort")
            .await
            .unwrap();
        drop(writer);
        let error = Reader::new(stream).request().await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
