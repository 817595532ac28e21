//! What each target starts from: the catalogue's own examples, the corpus of commands, and one good value of each kind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use policy::{Catalogue, lex};

use crate::{judge, session, sshsig, webauthn};

/// The environment variable that names the folder to write seeds to.
const FOLDER: &str = "FUZZ_SEEDS";

/// Writes the target's seeds and its dictionary to the folder that `FUZZ_SEEDS` names, and ends the program; without the
/// variable does nothing.
pub fn write_if_asked(target: &str) {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    if let Err(e) = write(target, &folder) {
        eprintln!("{}: {e}", folder.display());
        process::exit(1);
    }
    process::exit(0);
}

fn write(target: &str, folder: &Path) -> std::io::Result<()> {
    let seeds = folder.join(target);
    fs::create_dir_all(&seeds)?;
    for (number, seed) in of(target)?.into_iter().enumerate() {
        fs::write(seeds.join(format!("seed-{number:04}")), seed)?;
    }
    fs::write(folder.join(format!("{target}.dict")), dictionary(&words(target)))
}

fn of(target: &str) -> std::io::Result<Vec<Vec<u8>>> {
    let texts = |lines: Vec<String>| lines.into_iter().map(String::into_bytes).collect();
    Ok(match target {
        "lex" => texts(lines()?),
        "judge" => {
            texts(lines()?).into_iter().chain((0..=u8::MAX).map(|n| vec![0x80, n, n, n, 1, n, n])).collect()
        }
        "plugin" => texts(pieces("plugins", "[[command]]")?),
        "action" => texts(pieces("actions", "\0")?),
        "statement" => texts(statements()),
        "envelope" => {
            let statement = statements().remove(0);
            let of = |armors: &[String]| format!("{statement}\n{}", armors.concat()).into_bytes();
            let armors = sshsig::armors();
            vec![of(&armors[..1]), of(&armors), of(&[]), b"{}\n".to_vec()]
        }
        "sshsig" => sshsig::seeds(),
        "webauthn" => webauthn::seeds(),
        "session" => session::seeds(),
        "original" => lines()?
            .into_iter()
            .zip([0_u8, 1, 2].into_iter().cycle())
            .map(|(line, way)| {
                let zero: &[u8] = if way == 2 { b"" } else { b"\0" };
                [&[way], zero, line.as_bytes()].concat()
            })
            .collect(),
        _ => texts(approvers()),
    })
}

/// Every example and counter-example, and the corpus.
fn lines() -> std::io::Result<Vec<String>> {
    let catalogue = Catalogue::builtin().map_err(std::io::Error::other)?;
    let mut lines = judge::examples(&catalogue);
    for row in fs::read_to_string(source("tests/corpus/commands.jsonl"))?.lines() {
        let row: serde_json::Value = serde_json::from_str(row)?;
        lines.extend(row["cmd"].as_str().map(str::to_owned));
    }
    Ok(lines)
}

/// Each file of the catalogue in pieces: its head with one command each, under another name than the built-in one's.
fn pieces(folder: &str, cut: &str) -> std::io::Result<Vec<String>> {
    let mut pieces = Vec::new();
    for entry in fs::read_dir(source("catalogue").join(folder))? {
        let text = fs::read_to_string(entry?.path())?;
        let text = text.replacen("name = \"", "name = \"x", 1);
        let mut parts = text.split(cut);
        let head = parts.next().unwrap_or_default();
        let head: String = head.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
        pieces.push(head.clone());
        pieces.extend(parts.map(|part| format!("{head}{cut}{part}")));
    }
    Ok(pieces)
}

fn statements() -> Vec<String> {
    let hex = |digits: usize| "0b".repeat(digits / 2);
    let of = |kind: &str, action: &str, params: &str, argv: &str, plan: String| {
        format!(
            r#"{{"v":1,"proposal":"p1","tenant":"default","host":"web01","machine_id":"{}","kind":"{kind}","action":"{action}","params":{params},"argv":{argv},"plan":"{plan}","policy":"{}","rationale":"it is down","proposed_by":"assistant","not_before":1795493100,"expires_at":1795493400,"nonce":"{}"}}"#,
            hex(64),
            hex(64),
            hex(32)
        )
    };
    let decision = |kind: &str, action: &str| {
        of(kind, action, "{}", "[]", String::new())
            .replace(&format!(r#""policy":"{}""#, hex(64)), r#""policy":"""#)
    };
    let alone = of("action", "restart_unbound", "{}", "[]", hex(64))
        .replace(r#","nonce""#, r#","break_glass":"I am alone on call","nonce""#);
    vec![
        alone,
        decision("deny", ""),
        decision("review", "restart_unbound"),
        of("action", "restart_unbound", "{}", "[]", hex(64)),
        of("action", "restart_container", r#"{"container":"web"}"#, "[]", hex(64)),
        of("procedure", "dns", "{}", "[]", hex(64)),
        of("command", "", "{}", r#"["systemctl","restart","unbound"]"#, String::new()),
    ]
}

fn approvers() -> Vec<String> {
    let keys = sshsig::key_lines();
    let options =
        r#"valid-after="20260101Z",valid-before="202712312359Z",namespaces="pra-grant@mcp-linux-infra,file""#;
    vec![
        format!("# who may approve\nalice {} alice@laptop\n", keys[0]),
        format!("alice {}\n\nbob {options} {}\n", keys[0], keys[2]),
        format!("carol namespaces=\"pra-grant@mcp-linux-infra\" {}", keys[1]),
        format!("x cert-authority {}", keys[0]),
    ]
}

/// Pieces that a mutation would hardly find.
fn words(target: &str) -> BTreeSet<String> {
    let own = |words: &str| words.split(' ').map(str::to_owned).collect();
    match target {
        "webauthn" => own(webauthn::WORDS),
        "lex" => own("' \" \\' \\\" \\\\ $ ` ! ; = A=b \u{202e} \u{200b} \u{e0041} é"),
        "judge" => {
            let lines = lines().unwrap_or_default();
            lines
                .iter()
                .filter_map(|l| lex::lex(l).ok())
                .flat_map(|w| w.to_vec())
                .filter(|w| w.len() > 1)
                .collect()
        }
        "plugin" => own(concat!(
            "name title category roots exclude [[command]] [[command.form]] program profile single_dash options level risk ",
            "reason any words require leading force force_behind_words lines bytes seconds examples counter_examples auto ",
            "manual blocked {unit} {path:log} {int:1..5} {enum:a|b} {set:a|b} {format:%n|%s} {sed} {awk} {pattern}? {name}* ",
            "[{time}] --an|-a = true [ ] [roots] \\u202e \\u0007"
        )),
        "action" => own(concat!(
            "name title description risk approvals timeout_seconds units [params.x] type optional [[precheck]] [[run]] ",
            "[[verify]] [[rollback]] argv expect exit stdout stdout_contains differs capture when var is set empty retry ",
            "seconds every_ms already_ok {x} {{ }} pattern format:%n low high \\u202e \\u0007"
        )),
        "statement" => own(
            r#""v":1 "kind":"command" "argv":["a"] "params":{} \u202e \ud800 \u0000 1e3 null "nonce" "plan":"""#,
        ),
        "session" => own("mcps mcp-session mcp-describe uptime"),
        "original" => own("-c -i /usr/local/bin/mcp-wrapper mcp-session mcp-describe uptime \u{e9} \u{202e}"),
        "sshsig" | "envelope" => own(concat!(
            "-----BEGIN -----END SSH SIGNATURE----- SSHSIG ssh-ed25519 sk-ssh-ed25519@openssh.com ecdsa-sha2-nistp256 ",
            "nistp256 sha256 sha512 pra-grant@mcp-linux-infra ssh:"
        )),
        _ => own(concat!(
            "namespaces=\" valid-after=\" valid-before=\" 20270101Z cert-authority ssh-ed25519 ecdsa-sha2-nistp256 ",
            "sk-ssh-ed25519@openssh.com alice bob # , AAAAC3NzaC1lZDI1NTE5AAAAI"
        )),
    }
}

/// libFuzzer's format: one quoted word a line, bytes outside printable ASCII as `\xNN`.
fn dictionary(words: &BTreeSet<String>) -> String {
    let byte = |b: u8| match b {
        b'"' | b'\\' => format!("\\{}", char::from(b)),
        b' '..=b'~' => char::from(b).to_string(),
        _ => format!("\\x{b:02X}"),
    };
    words
        .iter()
        .filter(|w| w.len() <= 64)
        .map(|w| format!("\"{}\"\n", w.bytes().map(byte).collect::<String>()))
        .collect()
}

fn source(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place)
}
