use std::collections::BTreeMap;

use crate::store::{About, Event, Notice};

use super::*;

const ORIGIN: &str = "https://approve.example.org";

fn notice(event: Event, about: About) -> Notice {
    Notice { seq: 7, attempt: 1, event, at_ms: 1_795_478_400_000, about }
}

fn about() -> About {
    About {
        proposal: "pr_0123456789abcdef".into(),
        tenant: "default".into(),
        host: "web01".into(),
        action: "restart_unbound".into(),
        params: BTreeMap::from([("wait".to_owned(), "5".to_owned())]),
        argv: Vec::new(),
        risk: "high".into(),
        proposed_by: "alice".into(),
        signed: 0,
        wanted: 2,
        expires_ms: 1_795_482_000_000,
    }
}

fn message(event: Event, about: About, to: &str) -> Message {
    Message::of(&notice(event, about), ORIGIN, to).unwrap()
}

fn body(kind_name: &str, message: &Message) -> String {
    String::from_utf8(kind(kind_name).unwrap().json(message).unwrap()).unwrap()
}

/// What a model could put where it may write: markup, mentions, links, ends of lines, templates, what is invisible, secrets.
const HOSTILE: [&str; 14] = [
    "<!here> <!channel> <@U012AB3CD> <https://evil.example|safe>",
    "@channel @all @here @room @alice",
    "[log in](https://evil.example/x) ![x](http://evil.example/y.png)",
    "` @channel [x](https://evil.example) `",
    "``` \\` ~~x~~ **b** _i_ # h",
    "</code></b><a href=\"https://evil.example\">x</a><img src=x>",
    "\"}]}, {\"text\": \"x",
    "a\r\nBcc: all@example.org\r\n\r\n.\r\nQUIT",
    "a\nb\u{2028}c\u{85}d\u{b}e\u{c}f",
    "\u{1b}[31mred\u{1b}]8;;https://evil.example\u{7}x",
    "\u{202e}dleif\u{2066} \u{200b}\u{feff}",
    "{{link}} {{delivery|code}} {{DATE(2026-01-01T00:00:00Z,SHORT)}} ${x}",
    "",
    "&amp; &lt;!here&gt; www.evil.example HTTPS://evil.example",
];

const HTTP: [&str; 6] = ["slack", "mattermost", "matrix", "ntfy", "teams", "webhook"];

/// The same proposal with these words wherever words of others stand.
fn with(words: &str) -> About {
    About {
        proposal: words.into(),
        tenant: words.into(),
        host: words.into(),
        action: words.into(),
        params: BTreeMap::from([(words.to_owned(), words.to_owned())]),
        risk: words.into(),
        proposed_by: words.into(),
        ..about()
    }
}

/// All strings of a value, each with its place.
fn leaves(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(s) => found.push((at.to_owned(), s.clone())),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| leaves(v, &format!("{at}/{i}"), found));
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| leaves(v, &format!("{at}/{k}"), found)),
        other => found.push((at.to_owned(), other.to_string())),
    }
}

fn parsed(kind_name: &str, about: About) -> (Value, Vec<(String, String)>) {
    let value = serde_json::from_str(&body(kind_name, &message(Event::Proposed, about, "to"))).unwrap();
    let mut found = Vec::new();
    leaves(&value, "", &mut found);
    (value, found)
}

#[test]
fn no_words_change_the_form_of_a_message_or_make_a_link() {
    for (kind, words) in HTTP.iter().flat_map(|k| HOSTILE.iter().map(move |w| (k, w))) {
        let ((_, usual), (_, hostile)) = (parsed(kind, about()), parsed(kind, with(words)));
        assert_eq!(usual.len(), hostile.len(), "{kind} {words:?}");
        for ((at, was), (there, is)) in usual.iter().zip(&hostile) {
            assert_eq!(at, there, "{kind} {words:?}");
            assert_eq!(was.matches('\n').count(), is.matches('\n').count(), "{kind}{at} {is:?}");
            assert!(is.chars().all(|c| c == '\n' || !c.is_control()), "{kind}{at} {is:?}");
            let invisible = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}'];
            assert!(!is.contains(invisible), "{kind}{at} {is:?}");
            assert!(is.len() < 4096, "{kind}{at} {}", is.len());
            let others = is.replace(ORIGIN, "").replace("http://adaptivecards.io", "");
            let others = others.to_ascii_lowercase();
            assert!(!others.contains("://") && !others.contains("www."), "{kind}{at} {is:?}");
        }
    }
}

#[test]
fn slack_reads_no_markup_but_our_link() {
    for words in HOSTILE {
        let (value, _) = parsed("slack", with(words));
        assert!(!value["text"].as_str().unwrap().contains(['<', '>']), "{value}");
        let blocks = value["blocks"].as_array().unwrap();
        for block in &blocks[..2] {
            assert_eq!(
                (&block["text"]["type"], &block["text"]["emoji"]),
                (&"plain_text".into(), &false.into())
            );
        }
        let link = blocks[2]["text"]["text"].as_str().unwrap();
        assert!(link.starts_with(&format!("<{ORIGIN}|")) && link.ends_with('>'), "{link}");
        assert_eq!((link.matches('<').count(), link.matches('>').count()), (1, 1), "{link}");
        assert_eq!(blocks[2]["text"]["verbatim"], true);
    }
}

#[test]
fn in_mattermost_the_words_of_others_stand_in_code_spans() {
    let outside = |value: &Value| {
        let text = value["text"].as_str().unwrap();
        assert!(!text.contains("``"), "{text}");
        assert_eq!(text.matches('`').count() % 2, 0, "{text}");
        text.split('`').step_by(2).collect::<String>()
    };
    let usual = outside(&parsed("mattermost", with("x")).0);
    assert!(usual.contains("Approval needed") && !usual.contains(['@', '[']), "{usual}");
    for words in HOSTILE {
        assert_eq!(outside(&parsed("mattermost", with(words)).0), usual, "{words:?}");
    }
}

#[test]
fn in_matrix_nobody_is_mentioned_and_the_tags_are_ours() {
    let tags = |value: &Value| {
        let html = value["formatted_body"].as_str().unwrap();
        html.split('<').skip(1).map(|t| t.split('>').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let usual = tags(&parsed("matrix", with("x")).0);
    assert!(usual.contains(&format!("a href=\"{ORIGIN}\"")), "{usual:?}");
    for words in HOSTILE {
        let (value, _) = parsed("matrix", with(words));
        assert_eq!(tags(&value), usual, "{words:?}");
        assert_eq!(value["m.mentions"], serde_json::json!({}));
    }
}

#[test]
fn teams_shows_text_in_elements_that_know_no_markdown() {
    for words in HOSTILE {
        let text = parsed("teams", with(words)).0.to_string();
        assert!(
            text.contains("\"TextRun\"") && !text.contains("\"TextBlock\"") && !text.contains("\"FactSet\"")
        );
        assert!(!text.contains("\"entities\""), "a mention needs an entity");
    }
}

#[test]
fn a_mail_keeps_its_lines_and_its_subject_is_one() {
    let kind = kind("smtp").unwrap();
    let usual = kind.text(&message(Event::Proposed, about(), "")).unwrap();
    for words in HOSTILE {
        let message = message(Event::Proposed, with(words), "");
        let (subject, text) = (kind.subject(&message).unwrap(), kind.text(&message).unwrap());
        assert!(!subject.chars().any(char::is_control), "{subject:?}");
        assert_eq!(text.lines().count(), usual.lines().count(), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.replace(ORIGIN, "").contains("://"), "{text}");
    }
}

#[test]
fn long_words_are_cut_and_secrets_are_not_told() {
    let long = About {
        action: String::new(),
        argv: vec![
            "systemctl".into(),
            "restart".into(),
            "--password=hunter2-hunter2".into(),
            "x".repeat(5000),
        ],
        ..about()
    };
    for kind in HTTP {
        let text = body(kind, &message(Event::Proposed, long.clone(), "to"));
        assert!(!text.contains("hunter2") && text.contains("… (cut)") && text.len() < 4096, "{text}");
    }
    let mail = kind("smtp").unwrap().text(&message(Event::Proposed, long, "")).unwrap();
    assert!(!mail.contains("hunter2") && mail.contains("… (cut)"), "{mail}");
}

#[test]
fn each_event_and_a_test_have_their_words_and_only_a_need_rings_loudly() {
    let priority = |m: &Message| serde_json::from_str::<Value>(&body("ntfy", m)).unwrap()["priority"].clone();
    for event in
        [Event::Proposed, Event::Approved, Event::Rejected, Event::Succeeded, Event::Failed, Event::Expired]
    {
        let message = message(event, about(), "to");
        let word = &saying(&event.to_string()).unwrap().word;
        assert!(body("webhook", &message).contains(&format!("\"event\":\"{event}\"")));
        assert!(body("slack", &message).contains(word.as_str()));
        assert_eq!(priority(&message), if event == Event::Proposed { 4 } else { 3 });
    }
    let trial = Message::test(ORIGIN, "to", 0).unwrap();
    for kind in HTTP {
        let text = body(kind, &trial);
        assert!(
            (text.contains("Test") || text.contains("\"test\"")) && !text.contains("/proposals/"),
            "{text}"
        );
    }
}

#[test]
fn a_template_with_a_slip_is_an_error() {
    let message = message(Event::Proposed, about(), "to");
    for wrong in ["{{nobody}}", "{{host|shout}}", "{{host"] {
        fill(wrong, &message).unwrap_err();
    }
    assert_eq!(fill("{{to|path}}/{{signed}}", &message).unwrap(), "to/0");
    assert_eq!(
        kind("pigeon").unwrap_err(),
        "kind = \"pigeon\": there are: slack, mattermost, matrix, ntfy, teams, webhook, smtp"
    );
}

const NOTE: &str =
    "2 signature(s) needed by 2026-11-24 01:00:00 UTC. Log in, read what will run, then decide.";
const LINK: &str = "https://approve.example.org/proposals/pr_0123456789abcdef";

/// The body that this kind sends of [`about`]; the order of the keys is the serialiser's.
fn exact(kind_name: &str, expected: &str) {
    let expected = expected.replace("NOTE", NOTE).replace("LINK", LINK).replace('\n', "");
    let expected = serde_json::from_str::<Value>(&expected).unwrap().to_string();
    assert_eq!(body(kind_name, &message(Event::Proposed, about(), "ops")), expected);
}

#[test]
fn slack_gets_these_bytes() {
    exact(
        "slack",
        r#"{"text":"Approval needed: restart_unbound on web01 (high)","unfurl_links":false,"unfurl_media":false,"blocks":[
{"type":"header","text":{"type":"plain_text","emoji":false,"text":"Approval needed (high)"}},
{"type":"section","text":{"type":"plain_text","emoji":false,"text":"on web01: restart_unbound(wait=5)\nasked by: alice\nNOTE"}},
{"type":"section","text":{"type":"mrkdwn","verbatim":true,"text":"<LINK|pr_0123456789abcdef>"}}]}"#,
    );
}

#[test]
fn mattermost_gets_these_bytes() {
    exact(
        "mattermost",
        r#"{"text":"**Approval needed** (`high`) on `web01`: `restart_unbound(wait=5)`\nasked by `alice`\nNOTE\nLINK"}"#,
    );
}

#[test]
fn matrix_gets_these_bytes() {
    exact(
        "matrix",
        r#"{"msgtype":"m.text","m.mentions":{},
"body":"Approval needed (high) on web01: restart_unbound(wait=5)\nasked by: alice\nNOTE\nLINK",
"format":"org.matrix.custom.html",
"formatted_body":"<strong>Approval needed</strong> (<code>high</code>) on <code>web01</code>
: <code>restart_unbound(wait=5)</code><br>asked by <code>alice</code><br>NOTE<br><a href=\"LINK\">pr_0123456789abcdef</a>"}"#,
    );
}

#[test]
fn ntfy_gets_these_bytes() {
    exact(
        "ntfy",
        r#"{"topic":"ops","title":"Approval needed: restart_unbound on web01",
"message":"restart_unbound(wait=5)\nrisk: high\nasked by: alice\nNOTE","priority":4,"click":"LINK"}"#,
    );
}

#[test]
fn teams_gets_these_bytes() {
    exact(
        "teams",
        r#"{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null,"content":{
"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","type":"AdaptiveCard","version":"1.4","body":[
{"type":"RichTextBlock","inlines":[{"type":"TextRun","weight":"bolder","size":"large","text":"Approval needed (high)"}]},
{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":"on web01: "},
{"type":"TextRun","fontType":"monospace","text":"restart_unbound(wait=5)"}]},
{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":"asked by: alice"}]},
{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":"NOTE"}]}],
"actions":[{"type":"Action.OpenUrl","title":"pr_0123456789abcdef","url":"LINK"}]}}]}"#,
    );
}

#[test]
fn a_webhook_gets_these_bytes() {
    exact(
        "webhook",
        r#"{"v":1,"delivery":"1795478400000-7","event":"proposed","at":"2026-11-24 00:00:00 UTC",
"proposal":"pr_0123456789abcdef","tenant":"default","host":"web01","subject":"restart_unbound(wait=5)","risk":"high",
"asked_by":"alice","signed":0,"wanted":2,"expires":"2026-11-24 01:00:00 UTC","link":"LINK"}"#,
    );
}

#[test]
fn a_mail_says_this() {
    let (kind, message) = (kind("smtp").unwrap(), message(Event::Proposed, about(), ""));
    let subject = "[mcp-linux-infra] Approval needed: restart_unbound on web01 (high)";
    assert_eq!(kind.subject(&message).unwrap(), subject);
    let text = format!(
        "Approval needed\n\nhost:      web01\nwhat:      restart_unbound(wait=5)\nrisk:      high\nasked by:  alice\n\
         at:        2026-11-24 00:00:00 UTC\n\n{NOTE}\n{LINK}\n\n\
         This message cannot approve anything, and neither can an answer to it.\n"
    );
    assert_eq!(kind.text(&message).unwrap(), text);
}
