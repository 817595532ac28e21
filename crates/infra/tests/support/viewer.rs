//! What the script of an open page does: it hears of changes on one connection, and after each asks for the list on another. Changes
//! that come while it asks are one.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// One open page of the dashboard at this port of loopback.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    pub(crate) port: u16,
    pub(crate) cookie: String,
}

/// What a page has asked for.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) requests: u64,
    pub(crate) unchanged: u64,
    pub(crate) bytes: u64,
}

impl Viewer {
    /// Watches until `seen` gives `false`; it hears of each proposal that stands in a list, every time it does. `opened` is called once
    /// the page has its first list.
    pub(crate) async fn watch(&self, opened: impl FnOnce(), mut seen: impl FnMut(u64) -> bool) -> Asked {
        let (sender, mut changes) = watch::channel(0_u64);
        let mut events = BufReader::new(self.request("/events", "").await);
        let hearing = tokio::spawn(async move {
            let mut line = String::new();
            while events.read_line(&mut line).await.is_ok_and(|n| n > 0) {
                if line.trim_end() == "event: change" {
                    sender.send_modify(|n| *n += 1);
                }
                line.clear();
            }
        });
        let (mut asked, mut opened) = (Asked::default(), Some(opened));
        let (mut connection, mut tag) = (None, String::new());
        // The first event comes at once.
        while changes.changed().await.is_ok() {
            let answer = self.list(&mut connection, &tag).await;
            asked.requests += 1;
            asked.bytes += answer.body.len() as u64;
            if answer.status == 304 {
                asked.unchanged += 1;
                continue;
            }
            assert_eq!(answer.status, 200, "{}", answer.body);
            tag = answer.tag;
            let ids = answer.body.split("href=\"/proposals/pr_").skip(1);
            let mut more = true;
            for id in ids.filter_map(|rest| u64::from_str_radix(rest.get(..16)?, 16).ok()) {
                more = seen(id);
            }
            if let Some(opened) = opened.take() {
                opened();
            }
            if !more {
                break;
            }
        }
        hearing.abort();
        asked
    }

    async fn request(&self, path: &str, more: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(self.head(path, more).as_bytes()).await.unwrap();
        stream
    }

    fn head(&self, path: &str, more: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nCookie: {}\r\n{more}\r\n",
            self.port, self.cookie
        )
    }

    /// The live part of the list, over the connection of before where it is still there.
    async fn list(&self, kept: &mut Option<BufReader<TcpStream>>, tag: &str) -> Listed {
        let more = format!("X-Live: 1\r\nIf-None-Match: {tag}\r\n");
        if let Some(mut connection) = kept.take()
            && connection.write_all(self.head("/", &more).as_bytes()).await.is_ok()
            && let Ok(answer) = read(&mut connection).await
        {
            *kept = Some(connection);
            return answer;
        }
        let mut connection = BufReader::new(self.request("/", &more).await);
        let answer = read(&mut connection).await.unwrap();
        *kept = Some(connection);
        answer
    }
}

struct Listed {
    status: u16,
    tag: String,
    body: String,
}

async fn read(connection: &mut BufReader<TcpStream>) -> std::io::Result<Listed> {
    let (mut status, mut tag, mut length) = (0, String::new(), 0);
    let mut line = String::new();
    loop {
        line.clear();
        if connection.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        match text.split_once(": ") {
            None => status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0),
            Some(("etag", value)) => value.clone_into(&mut tag),
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok(Listed { status, tag, body: String::from_utf8_lossy(&body).into_owned() })
}
