//! One command on one channel.

use std::time::{Duration, Instant};

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};

/// What a command gave back. Everything in it is untrusted.
#[derive(Debug, Clone, Default)]
pub struct ExecOutput {
    /// Standard output, at most the limit that was asked for.
    pub stdout: Vec<u8>,
    /// Standard error, at most 64 KiB.
    pub stderr: Vec<u8>,
    /// The exit status; `None` when the target named none, which is never success.
    pub exit: Option<i32>,
    /// Whether output was left out, here.
    pub truncated: bool,
    /// From the request to the end, in milliseconds.
    pub ms: u64,
}

pub(super) const STDERR_BYTES: usize = 64 << 10;

/// Closes the channel when the call is dropped, so that the target sees the peer go and ends the program.
struct CloseOnDrop(Option<ChannelWriteHalf<Msg>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let (Some(half), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                // The connection may be gone already; then there is nothing to close.
                let _ = half.close().await;
            });
        }
    }
}

/// Sends `line` as an exec request with `stdin`, and collects the answer.
///
/// `Err` is a protocol failure; the caller puts a time limit around the call.
pub(super) async fn run(
    channel: Channel<Msg>,
    line: &str,
    stdin: Option<&[u8]>,
    stdout_bytes: usize,
) -> Result<ExecOutput, russh::Error> {
    let started = Instant::now();
    channel.exec(true, line).await?;
    let (mut reads, writes) = channel.split();
    let guard = CloseOnDrop(Some(writes));
    if let Some(writes) = &guard.0 {
        if let Some(bytes) = stdin {
            writes.data(bytes).await?;
        }
        writes.eof().await?;
    }
    let mut output = collect(&mut reads, stdout_bytes).await;
    output.ms = millis(started.elapsed());
    Ok(output)
}

async fn collect(reads: &mut ChannelReadHalf, stdout_bytes: usize) -> ExecOutput {
    let mut output = ExecOutput::default();
    while let Some(message) = reads.wait().await {
        match message {
            ChannelMsg::Data { data } => output.truncated |= !append(&mut output.stdout, &data, stdout_bytes),
            ChannelMsg::ExtendedData { data, ext: 1 } => {
                append(&mut output.stderr, &data, STDERR_BYTES);
            }
            ChannelMsg::ExitStatus { exit_status } => output.exit = i32::try_from(exit_status).ok(),
            ChannelMsg::Failure | ChannelMsg::Close => break,
            _ => {}
        }
        if output.truncated {
            break;
        }
    }
    output
}

/// Appends up to the limit; `false` when something was left out.
pub(super) fn append(to: &mut Vec<u8>, data: &[u8], limit: usize) -> bool {
    let room = limit.saturating_sub(to.len());
    to.extend_from_slice(&data[..data.len().min(room)]);
    data.len() <= room
}

pub(super) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
