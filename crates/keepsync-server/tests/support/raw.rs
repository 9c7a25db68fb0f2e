//! A connection that sends what it is told, when it is told.

use super::Client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub struct Raw(TcpStream);

impl Raw {
    pub async fn connect(client: &Client) -> Self {
        let address = client.base.trim_start_matches("http://").trim_end_matches('/');
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Sends the head of a request, and waits until the server asks for its body: then it is under way.
    pub async fn begin(client: &Client, path: &str, bytes: usize) -> Self {
        let mut raw = Self::connect(client).await;
        let head = format!(
            "POST /{path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n",
            client.token
        );
        raw.send(head.as_bytes()).await;
        let mut answer = [0; 25];
        raw.0.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Everything up to the end of the connection.
    pub async fn answer(&mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }
}
