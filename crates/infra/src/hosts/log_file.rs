//! Log files: the end, or lines by their number.

use schemars::JsonSchema;
use serde::Serialize;

use super::Row;
use super::ask::Asker;
use super::hygiene::one_line;
use super::operand::FilePath;
use super::reader::{Failure, Reader};

/// Most lines of one question.
const MAX_FILE_LINES: u16 = 2000;
/// Lines when none are asked for.
const DEFAULT_LINES: u16 = 100;
/// A longer line is cut.
const LINE_CHARS: usize = 2000;

/// Which lines.
#[derive(Debug, Clone)]
pub struct FileQuery {
    /// The file.
    pub path: FilePath,
    /// So many, 1 to 2000.
    pub lines: Option<u16>,
    /// From this line on, the first being 1; the last lines when absent.
    pub start: Option<u32>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileLine {
    /// Its number; absent when counted from the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// The line.
    pub text: String,
}

/// Lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLines {
    /// The lines.
    pub lines: Vec<FileLine>,
    /// Whether lines that were asked for are missing.
    pub truncated: bool,
    /// Control and invisible characters that were removed.
    pub removed_controls: usize,
    /// Secrets that were replaced.
    pub redactions: usize,
}

/// Asks for lines of a file; one that ends in .gz, .xz or .zst is unpacked.
pub async fn read_log_file(reader: &dyn Reader, query: &FileQuery) -> Result<FileLines, Failure> {
    let asker = Asker::new(reader);
    let count = query.lines.unwrap_or(DEFAULT_LINES);
    if !(1..=MAX_FILE_LINES).contains(&count) {
        let value = count.to_string();
        return Err(Failure::BadOperand { what: "lines", value, cause: "ask for 1 to 2000" });
    }
    if query.start == Some(0) {
        return Err(Failure::BadOperand {
            what: "start",
            value: "0".to_owned(),
            cause: "the first line is 1",
        });
    }
    let path = query.path.as_str();
    let unpacked = unpacker(path);
    let told = match (unpacked, query.start) {
        (Some(program), _) => asker.text(&[program, path]).await?,
        (None, Some(start)) => {
            let range = format!("{start},{}p", start.saturating_add(u32::from(count) - 1));
            asker.text(&["sed", "-n", &range, path]).await?
        }
        (None, None) => asker.text(&["tail", "-n", &count.to_string(), path]).await?,
    };
    let mut lines: Vec<FileLine> =
        told.text.lines().map(|text| FileLine { number: None, text: one_line(text, LINE_CHARS) }).collect();
    if unpacked.is_some() {
        lines = part(lines, query.start, count.into());
    }
    if let Some(start) = query.start {
        lines.iter_mut().zip(start..).for_each(|(line, number)| line.number = Some(number));
    }
    let counts = asker.counts();
    Ok(FileLines {
        lines,
        truncated: told.truncated,
        removed_controls: counts.removed_controls,
        redactions: counts.redactions,
    })
}

/// The program that prints a packed file.
pub(super) fn unpacker(path: &str) -> Option<&'static str> {
    [(".gz", "zcat"), (".xz", "xzcat"), (".zst", "zstdcat")]
        .into_iter()
        .find(|(end, _)| path.ends_with(end))
        .map(|(_, program)| program)
}

fn part(lines: Vec<FileLine>, start: Option<u32>, count: usize) -> Vec<FileLine> {
    let skip = match start {
        Some(start) => usize::try_from(start).unwrap_or(usize::MAX) - 1,
        None => lines.len().saturating_sub(count),
    };
    lines.into_iter().skip(skip).take(count).collect()
}

impl Row for FileLine {
    fn line(&self) -> String {
        self.number.map_or_else(|| self.text.clone(), |n| format!("{n}: {}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on};
    use super::super::reader::Output;
    use super::*;

    fn read(fake: &Fake, path: &str, lines: Option<u16>, start: Option<u32>) -> Result<FileLines, Failure> {
        block_on(read_log_file(fake, &FileQuery { path: path.parse().unwrap(), lines, start }))
    }

    #[test]
    fn the_end_and_a_part_are_asked_for() {
        let fake = Fake::default()
            .with("tail -n 2 /var/log/a", answer("x\n\ny\u{1b}[2Jz password=hunter2\n"))
            .with("sed -n 10,11p /var/log/a", answer("ten\neleven\n"));
        let end = read(&fake, "/var/log/a", Some(2), None).unwrap();
        assert_eq!(end.lines[2].text, "yz password=[redacted]");
        assert_eq!((end.removed_controls, end.redactions, end.lines[0].number), (1, 1, None));
        let part = read(&fake, "/var/log/a", Some(2), Some(10)).unwrap();
        assert_eq!(part.lines.iter().map(Row::line).collect::<Vec<_>>(), ["10: ten", "11: eleven"]);
    }

    #[test]
    fn packed_files_are_unpacked() {
        let fake = Fake::default().with("zcat /var/log/a.2.gz", answer("1\n2\n3\n4\n"));
        let text = |lines, start| -> Vec<String> {
            read(&fake, "/var/log/a.2.gz", Some(lines), start).unwrap().lines.iter().map(Row::line).collect()
        };
        assert_eq!(text(2, None), ["3", "4"]);
        assert_eq!(text(2, Some(2)), ["2: 2", "3: 3"]);
        assert!(text(2, Some(u32::MAX)).is_empty());
    }

    #[test]
    fn refusals_name_their_cause() {
        let refused = Output {
            exit: Some(126),
            stderr: b"mcp-wrapper: blocked: \"/etc/shadow\": this path lies beneath no permitted root"
                .to_vec(),
            ..answer("")
        };
        let fake = Fake::default().with("tail", refused);
        let failure = read(&fake, "/etc/shadow", None, None).unwrap_err();
        assert!(
            failure.code() == "blocked" && failure.to_string().contains("no permitted root"),
            "{failure}"
        );
        assert_eq!(read(&fake, "/x", Some(0), None).unwrap_err().code(), "bad_arguments");
        assert_eq!(read(&fake, "/x", None, Some(0)).unwrap_err().code(), "bad_arguments");
        assert_eq!(fake.asked().len(), 1, "a wrong argument asks nothing");
    }
}
