//! The approvers file: each line one key of one person, or the whole file is refused.

use grant::Approvers;

/// Takes the bytes as an approvers file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let once = Approvers::parse(text);
    assert_eq!(once, Approvers::parse(text));
    let lines: Vec<&str> = text.split('\n').collect();
    let approvers = match once {
        Ok(approvers) => approvers,
        Err(error) => {
            return assert!((1..=lines.len()).contains(&error.line) && !error.cause.is_empty(), "{error}");
        }
    };
    let mut before = 0;
    for approver in &approvers {
        assert!(approver.line > before && approver.line <= lines.len());
        before = approver.line;
        let line = lines[approver.line - 1];
        assert!(line.trim_start_matches([' ', '\t']).starts_with(&approver.person), "{line:?}");
        assert!(!approver.person.is_empty() && approver.person.bytes().all(|b| b.is_ascii_graphic()));
        assert!(!approver.person.contains(['*', '?', '!', ',', '"']), "{approver:?}");
        // One key is one person's.
        assert_eq!(approvers.find(&approver.key), Some(approver));
        assert!(line.contains(approver.key.kind().as_str()));
        if let (Some(after), Some(until)) = (approver.valid_after, approver.valid_before) {
            assert!(after < until && approver.is_valid_at(after) && !approver.is_valid_at(until + 1));
        }
        if let Some(names) = &approver.namespaces {
            assert_eq!(approver.signs_grants(), names.iter().any(|n| n == grant::NAMESPACE));
        }
    }
    // A line that is neither empty nor a comment is somebody's.
    let meant = |line: &&&str| !matches!(line.trim_matches([' ', '\t']).chars().next(), None | Some('#'));
    assert_eq!(approvers.iter().count(), lines.iter().filter(meant).count());
    assert_eq!(approvers.is_empty(), approvers.iter().next().is_none());
}
