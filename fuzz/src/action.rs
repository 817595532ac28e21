//! The action loader: a file is refused with a place, or shows an approver nothing hidden.

use std::collections::BTreeMap;

use policy::action::{Action, Bound, Phase};

use crate::text::assert_visible;

/// Values for parameters; most types take one of them.
const VALUES: [&str; 13] = [
    "nginx",
    "1",
    "10",
    "/var/log/x",
    "10.0.0.1",
    "a b",
    "today",
    "err",
    "a\nb",
    "-x",
    "\u{202e}x",
    "\u{1b}[2K",
    "%n",
];

/// Takes the bytes as an action file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Action::parse("local.toml", text) {
        Err(error) => {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&error.line), "{error}: the file has {lines} lines");
            assert!(error.file == "local.toml" && !error.cause.is_empty(), "{error}");
        }
        Ok(action) => loaded(&action),
    }
}

fn loaded(action: &Action) {
    assert!(action.plan().len() == 64 && action.approvals >= 1);
    assert!(!action.run.is_empty() && !action.verify.is_empty());
    for value in VALUES {
        let given = action.params.keys().map(|name| (name.clone(), value.to_owned())).collect();
        if let Ok(bound) = action.bind(&given) {
            shown(&bound);
        }
    }
    // One after another, so that a parameter is tried alone with what its own type takes.
    let mut given = BTreeMap::new();
    for (name, param) in &action.params {
        let good = |v: &&&str| !v.starts_with('-') && param.ty.check(v).is_ok();
        if let Some(value) = VALUES.iter().find(good) {
            given.insert(name.clone(), (*value).to_owned());
        }
    }
    if let Ok(bound) = action.bind(&given) {
        shown(&bound);
    }
}

fn shown(bound: &Bound<'_>) {
    for word in bound.lines().flat_map(|(_, words)| words) {
        assert_visible(&word, "a shown word");
    }
    for phase in [Phase::Precheck, Phase::Run, Phase::Verify, Phase::Rollback] {
        for step in bound.action.steps(phase) {
            let Ok(argv) = step.argv(bound.vars()) else { continue };
            assert!(argv[0].bytes().all(|b| b.is_ascii_graphic()), "{argv:?}");
            for word in &argv {
                assert_visible(word, "a word to run");
            }
            // What is run is what was shown.
            assert_eq!(argv, step.show(bound.vars()));
        }
    }
}
