//! `serve`

use clap::Args;

use super::{Context, Done, Ended, runtime};
use crate::config::Config;
#[cfg(feature = "conformance-fixtures")]
use crate::mcp::fixtures;
use crate::mcp::toolsets::Choice;
use crate::mcp::{HttpServer, serve_stdio, server::SHUTDOWN};
use crate::notify::{self, Channels};

/// Serves one MCP client on stdin and stdout, or many over HTTP; logs go to stderr.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Serve many clients over streamable HTTP at /mcp: HOST:PORT, or unix:/path for a socket of mode 0600
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
}

pub(super) fn run(context: &Context, arguments: &Serve) -> Done {
    let app = context.app()?;
    Choice::parse(&app.config().toolsets).map_err(|e| Ended::usage(e.to_string()))?;
    #[cfg(feature = "conformance-fixtures")]
    if let Some(refusal) = fixtures::door::refusal(arguments.http.as_deref(), app.config()) {
        return Err(Ended::usage(refusal));
    }
    let channels = Channels::new(app.config())?;
    start_log(app.config())?;
    for warning in &app.config().warnings {
        tracing::warn!("inventory: {warning}");
    }
    let runtime = runtime()?;
    let result = match &arguments.http {
        None => runtime.block_on(async {
            let _sending = notify::start(&app, channels);
            Box::pin(serve_stdio(app)).await
        }),
        Some(address) => runtime.block_on(async {
            let server = HttpServer::bind(&app, address).await.map_err(Ended::usage)?;
            eprintln!("mcp-linux-infra: {}", server.start_line());
            let _sending = notify::start(&app, channels);
            Ok::<_, Ended>(server.serve(app).await)
        })?,
    };
    // A thread that still reads stdin must not keep the process.
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(result?)
}

/// Logs to stderr, and to a file when a folder is named; stdout carries protocol messages only.
pub(super) fn start_log(config: &Config) -> Done {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    // The protocol library's own chatter is of no use below warn.
    let directives = format!("warn,mcp_linux_infra={}", config.log_level);
    let filter = EnvFilter::try_new(&directives)
        .map_err(|e| Ended::usage(format!("log_level {:?}: {e}", config.log_level)))?;
    let file = match &config.log_dir {
        None => None,
        Some(dir) => {
            let path = dir.join("mcp-linux-infra.log");
            let open = std::fs::create_dir_all(dir)
                .and_then(|()| std::fs::OpenOptions::new().create(true).append(true).open(&path));
            Some(open.map_err(|e| Ended::usage(format!("log file {}: {e}", path.display())))?)
        }
    };
    let stderr = fmt::layer().with_ansi(false).with_target(false).with_writer(std::io::stderr);
    let to_file = file.map(|f| fmt::layer().with_ansi(false).with_writer(std::sync::Mutex::new(f)));
    tracing_subscriber::registry().with(filter).with(stderr).with(to_file).try_init().map_err(Ended::failed)
}
