//! What notifications are sent to: a web server and a mail server that keep what they get.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Waits until a thing is so; far longer than it takes on a machine that is not busy.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !so() {
        assert!(Instant::now() < end, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|h| h.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)))
            .map(|(_, v)| v)
    }
}

/// A web server on loopback. A path that begins with `/hang` is never answered, `/flaky` fails once, `/redirect` points to
/// `/stolen`, `/full` asks to wait; all others are 200. Its threads end with the test's process.
pub(crate) struct Web {
    pub(crate) port: u16,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Web {
    pub(crate) fn start(tls: Option<&Certificate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let (kept, tls) = (Arc::clone(&got), tls.map(Certificate::server));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, tls) = (Arc::clone(&kept), tls.clone());
                std::thread::spawn(move || match tls {
                    None => answer(stream, &kept),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        answer(rustls::StreamOwned::new(connection, stream), &kept);
                    }
                });
            }
        });
        Self { port, got }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The requests whose line holds `part`, in their order.
    pub(crate) fn got(&self, part: &str) -> Vec<Got> {
        self.got.lock().unwrap().iter().filter(|g| g.line.contains(part)).cloned().collect()
    }
}

/// Reads a request; nothing when whoever does not trust the certificate went before they said anything.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<Got> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(n) if n > 2 => lines.push(line.trim_end().to_owned()),
            Ok(2) => break,
            _ => return None,
        }
    }
    let mut got = Got { line: lines.remove(0), headers: lines, body: String::new() };
    let length: usize = got.header("content-length").map_or(0, |v| v.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    got.body = String::from_utf8(body).unwrap();
    Some(got)
}

fn answer(stream: impl Read + Write, kept: &Mutex<Vec<Got>>) {
    let mut reader = BufReader::new(stream);
    let Some(got) = read_request(&mut reader) else { return };
    let line = got.line.clone();
    let before = {
        let mut all = kept.lock().unwrap();
        let before = all.iter().filter(|g| g.line == line).count();
        all.push(got);
        before
    };
    let path = line.split(' ').nth(1).unwrap();
    let head = match path {
        p if p.starts_with("/hang") => {
            // Until the client goes.
            let _ = reader.read(&mut [0]);
            return;
        }
        p if p.starts_with("/flaky") && before == 0 => "500 Internal Server Error",
        p if p.starts_with("/redirect") => "302 Found\r\nlocation: /stolen",
        p if p.starts_with("/full") => "429 Too Many Requests\r\nretry-after: 120",
        _ => "200 OK",
    };
    let said = "kept \u{1b}[31mit";
    let _ = write!(reader.get_mut(), "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{said}", said.len());
    let _ = reader.get_mut().flush();
}

/// An authority of our own and a certificate of `localhost`, and of no address, by it.
pub(crate) struct Certificate {
    dir: tempfile::TempDir,
}

impl Certificate {
    pub(crate) fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let openssl = |arguments: &str| {
            let output = Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(dir.path())
                .output()
                .expect("openssl is installed (apt-get install openssl)");
            assert!(output.status.success(), "{output:?}");
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=Test"));
        openssl(&format!(
            "req -x509 {key} -keyout key.pem -out cert.pem -subj /CN=localhost -CA ca.pem -CAkey ca.key \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        ));
        Self { dir }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn server(&self) -> Arc<rustls::ServerConfig> {
        let at = |name: &str| self.dir.path().join(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(at("cert.pem")).unwrap()],
                PrivateKeyDer::from_pem_file(at("key.pem")).unwrap(),
            )
            .unwrap();
        Arc::new(config)
    }
}

/// A mail server on loopback that keeps each line it is told. With a certificate it offers STARTTLS, and AUTH behind it.
pub(crate) struct Mail {
    pub(crate) port: u16,
    told: Arc<Mutex<Vec<String>>>,
}

impl Mail {
    pub(crate) fn start(tls: Option<&Certificate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (kept, tls) = (Arc::clone(&told), tls.map(Certificate::server));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve_mail(stream, tls.clone(), &kept);
            }
        });
        Self { port, told }
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

fn serve_mail(mut stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>, kept: &Mutex<Vec<String>>) {
    let _ = stream.write_all(b"220 sink ESMTP\r\n");
    let offer = if tls.is_some() { "250-sink\r\n250 STARTTLS\r\n" } else { "250 sink\r\n" };
    if !dialogue(&mut stream, offer, kept) {
        return;
    }
    let _ = stream.write_all(b"220 go on\r\n");
    let connection = rustls::ServerConnection::new(tls.unwrap()).unwrap();
    let mut hidden = rustls::StreamOwned::new(connection, stream);
    kept.lock().unwrap().push("-- TLS --".to_owned());
    dialogue(&mut hidden, "250-sink\r\n250 AUTH PLAIN\r\n", kept);
}

/// Answers until the client goes, or (`true`) asks for TLS.
fn dialogue(stream: &mut (impl Read + Write), offer: &str, kept: &Mutex<Vec<String>>) -> bool {
    let (mut data, mut line) = (false, Vec::new());
    let mut byte = [0];
    // One byte at a time: what stands behind STARTTLS is not for this reader.
    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
        if byte[0] != b'\n' {
            line.push(byte[0]);
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut line)).unwrap().trim_end_matches('\r').to_owned();
        kept.lock().unwrap().push(text.clone());
        let answer = match text.split([' ', ':']).next().unwrap() {
            "." if data => {
                data = false;
                "250 kept\r\n"
            }
            _ if data => continue,
            "EHLO" => offer,
            "STARTTLS" => return true,
            "AUTH" => "235 in\r\n",
            "DATA" => {
                data = true;
                "354 say it\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return false;
        }
        let _ = stream.flush();
    }
    false
}

/// A private file beside the config.
pub(crate) fn secret(dir: &Path, name: &str, text: &str) {
    super::serve::private(dir.join(name), text);
}
