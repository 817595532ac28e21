//! One mail.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::Notify;

use crate::fetch::{is_loopback, roots};

/// For each step of the dialogue.
const STEP: Duration = Duration::from_secs(10);

/// A mail server, and as whom to write.
#[derive(Debug, Clone)]
pub(super) struct Server {
    host: String,
    port: u16,
    encryption: Encryption,
    from: Mailbox,
    to: Vec<Mailbox>,
    username: Option<String>,
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    /// From the first byte.
    Tls,
    /// Asked for before anything is said; without it nothing is sent.
    StartTls,
    /// None: to loopback only.
    None,
}

impl Server {
    /// Reads the keys of a `[[notify]]` that mail needs.
    pub(super) fn of(entry: &Notify) -> Result<Self, String> {
        let url = entry.url.as_deref().ok_or("mail needs url = \"HOST\" or \"HOST:PORT\"")?;
        let encryption = match entry.tls.as_deref() {
            None | Some("starttls") => Encryption::StartTls,
            Some("tls") => Encryption::Tls,
            Some("none") => Encryption::None,
            Some(other) => return Err(format!("tls = {other:?}: there are: starttls, tls, none")),
        };
        let (host, port) = match url.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("url = {url:?}: write HOST:PORT"))?)
            }
            _ => (
                url,
                match encryption {
                    Encryption::Tls => 465,
                    Encryption::StartTls => 587,
                    Encryption::None => 25,
                },
            ),
        };
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b)) {
            return Err(format!("url = {url:?}: write HOST or HOST:PORT"));
        }
        if encryption == Encryption::None && !is_loopback(&host) {
            return Err("tls = \"none\" is for a mail server on loopback only".to_owned());
        }
        if entry.username.is_some() != entry.secret_file.is_some() {
            return Err("username and password_file belong together".to_owned());
        }
        let mailbox = |text: &String| {
            text.parse::<Mailbox>().map_err(|e| format!("{text:?} is no address for mail: {e}"))
        };
        Ok(Self {
            host,
            port,
            encryption,
            from: mailbox(entry.from.as_ref().ok_or("mail needs from = \"ADDRESS\"")?)?,
            to: entry.to.iter().map(mailbox).collect::<Result<_, _>>()?,
            username: entry.username.clone(),
            ca_file: entry.ca_file.clone(),
        })
    }

    /// Sends a mail; gives what the server said. A mail that comes twice has the same Message-ID.
    pub(super) async fn send(
        &self,
        delivery: &str,
        subject: String,
        body: String,
        password: Option<String>,
    ) -> Result<String, String> {
        let mail = self.mail(delivery, subject, body)?;
        let tls = match self.encryption {
            Encryption::None => Tls::None,
            Encryption::Tls => Tls::Wrapper(self.parameters().await?),
            Encryption::StartTls => Tls::Required(self.parameters().await?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .tls(tls)
            .timeout(Some(STEP));
        if let (Some(name), Some(password)) = (&self.username, password) {
            transport = transport.credentials(Credentials::new(name.clone(), password));
        }
        let answer =
            transport.build().send(mail).await.map_err(|e| format!("{}:{}: {e}", self.host, self.port))?;
        Ok(format!("{} {}", answer.code(), answer.message().collect::<Vec<_>>().join(" ")))
    }

    fn mail(&self, delivery: &str, subject: String, body: String) -> Result<Message, String> {
        let id = format!("<{delivery}@{}>", self.from.email.domain());
        // Nobody's holiday answers a machine.
        let automatic =
            HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let headed = Message::builder()
            .from(self.from.clone())
            .message_id(Some(id))
            .subject(subject)
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .raw_header(automatic);
        let addressed = self.to.iter().cloned().fold(headed, MessageBuilder::to);
        addressed.body(body).map_err(|e| e.to_string())
    }

    async fn parameters(&self) -> Result<TlsParameters, String> {
        let (host, ca_file) = (self.host.clone(), self.ca_file.clone());
        let built = tokio::task::spawn_blocking(move || {
            let none = TlsParameters::builder(host).certificate_store(CertificateStore::None);
            let mut builder = none;
            for root in roots(ca_file.as_deref())? {
                let root = Certificate::from_der(root.to_vec()).map_err(|e| e.to_string())?;
                builder = builder.add_root_certificate(root);
            }
            builder.build().map_err(|e| e.to_string())
        });
        built.await.map_err(|e| e.to_string())?
    }
}
