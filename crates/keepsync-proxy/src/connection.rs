//! One client's connection, and the upstream connection that belongs to it.

use super::{
    Fault, Shared,
    link::Way,
    message::{Message, Reader},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

pub(super) struct Connection {
    client: Reader<TcpStream>,
    upstream: Option<(SocketAddr, Reader<TcpStream>)>,
    shared: Arc<Shared>,
    /// Place in the log of the request that is under way.
    under_way: usize,
}

/// A request's place in the log; it is over when this is dropped, if not before.
struct UnderWay {
    shared: Arc<Shared>,
    at: usize,
}

impl UnderWay {
    fn new(shared: &Arc<Shared>, request: &Message) -> Self {
        Self {
            at: shared.log().begin(&request.path, request.bytes.len()),
            shared: Arc::clone(shared),
        }
    }

    fn end(&self) {
        self.shared.log().end(self.at);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.end();
    }
}

/// What follows a request.
enum After {
    /// The next one may come.
    Next,
    /// The connection is closed in good order.
    Close,
    /// It is reset.
    Reset,
}

impl Connection {
    pub(super) fn new(client: TcpStream, shared: Arc<Shared>) -> Self {
        Self {
            client: Reader::new(client),
            upstream: None,
            shared,
            under_way: 0,
        }
    }

    pub(super) async fn run(mut self) {
        while let Ok(Some(request)) = self.client.request().await {
            let under_way = UnderWay::new(&self.shared, &request);
            self.under_way = under_way.at;
            // A server that died, or one that is not there, looks like a reset.
            let after = self.exchange(request, &under_way).await.unwrap_or(After::Reset);
            drop(under_way);
            match after {
                After::Next => {}
                After::Close => return,
                After::Reset => {
                    let _ = self.client.stream.set_zero_linger();
                    return;
                }
            }
        }
    }

    async fn exchange(&mut self, request: Message, under_way: &UnderWay) -> io::Result<After> {
        let keep = request.keep;
        if !self.shared.pass(Way::Up).await {
            self.client.closed().await;
            return Ok(After::Close);
        }
        let whole = match self.shared.fault_of(&request.path) {
            None => self.forward(request, None).await?.bytes,
            Some(Fault::Refuse | Fault::CutRequest) => return Ok(After::Reset),
            Some(Fault::BlackHole) => {
                self.client.closed().await;
                return Ok(After::Close);
            }
            Some(Fault::LostReply) => {
                self.send_up(&request.bytes, None).await?.first_byte().await?;
                self.shared.count(|counts| counts.heard += 1);
                return Ok(After::Close);
            }
            Some(Fault::CutAnswer(bytes)) => {
                let mut answer = self.forward(request, None).await?.bytes;
                answer.truncate(bytes);
                under_way.end();
                self.client.stream.write_all(&answer).await?;
                return Ok(After::Close);
            }
            Some(Fault::ResetAnswer(bytes)) => {
                let mut answer = self.forward(request, None).await?.bytes;
                answer.truncate(bytes);
                under_way.end();
                self.client.stream.write_all(&answer).await?;
                return Ok(After::Reset);
            }
            Some(Fault::CutUpload(bytes)) => {
                let mut part = request.bytes;
                part.truncate(bytes);
                self.send_up(&part, None).await?;
                // Dropped: a FIN, unless something was left unread.
                self.upstream = None;
                return Ok(After::Close);
            }
            Some(Fault::ResetUpload(bytes)) => {
                let mut part = request.bytes;
                part.truncate(bytes);
                let _ = self.send_up(&part, None).await?.stream.set_zero_linger();
                self.upstream = None;
                return Ok(After::Reset);
            }
            Some(Fault::HalfOpen) => {
                self.forward(request, None).await?;
                self.client.closed().await;
                return Ok(After::Close);
            }
            Some(Fault::Slow { bytes, tick }) => {
                let pace = Some((bytes.max(1), tick));
                let answer = self.forward(request, pace).await?.bytes;
                under_way.end();
                trickle(&mut self.client.stream, &answer, pace).await?;
                self.shared.count(|counts| counts.answered += 1);
                return Ok(if keep { After::Next } else { After::Close });
            }
            Some(Fault::Instead(canned)) => canned.bytes,
        };
        if !self.shared.pass(Way::Down).await {
            self.client.closed().await;
            return Ok(After::Close);
        }
        under_way.end();
        self.client.stream.write_all(&whole).await?;
        self.shared.count(|counts| counts.answered += 1);
        Ok(if keep { After::Next } else { After::Close })
    }

    /// Sends a request up and brings its whole answer.
    async fn forward(&mut self, request: Message, pace: Option<(usize, Duration)>) -> io::Result<Message> {
        let answer = self.send_up(&request.bytes, pace).await?.answer().await?;
        self.shared.count(|counts| counts.heard += 1);
        self.shared.log().answered(self.under_way, answer.bytes.len());
        if !answer.keep || !request.keep {
            self.upstream = None;
        }
        Ok(answer)
    }

    async fn send_up(&mut self, request: &[u8], pace: Option<(usize, Duration)>) -> io::Result<&mut Reader<TcpStream>> {
        let addr = self.shared.rules().upstream;
        let (at, mut reader) = match self.upstream.take() {
            Some(open) if open.0 == addr => open,
            _ => {
                let stream = TcpStream::connect(addr).await?;
                let _ = stream.set_nodelay(true);
                (addr, Reader::new(stream))
            }
        };
        trickle(&mut reader.stream, request, pace).await?;
        self.shared.count(|counts| counts.forwarded += 1);
        Ok(&mut self.upstream.insert((at, reader)).1)
    }
}

async fn trickle(stream: &mut TcpStream, bytes: &[u8], pace: Option<(usize, Duration)>) -> io::Result<()> {
    let Some((piece, tick)) = pace else {
        return stream.write_all(bytes).await;
    };
    for piece in bytes.chunks(piece) {
        tokio::time::sleep(tick).await;
        stream.write_all(piece).await?;
    }
    Ok(())
}
