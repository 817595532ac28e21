//! A plugin's text without what only people read: for the programs that go to targets. `build.rs` uses it, and a test holds it to
//! judging as the whole text does.

/// Leaves out comments, titles of forms, examples and counter-examples.
pub(crate) fn compact(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut inside_list = false;
    let mut inside_form = false;
    for line in text.lines() {
        let key = line.split(' ').next().unwrap_or_default();
        if inside_list {
            inside_list = !line.ends_with(']');
            continue;
        }
        inside_form |= line == "[[command.form]]";
        match key {
            "examples" | "counter_examples" => {
                inside_list = !line.ends_with(']');
                // A form must have some; these are nobody's.
                short.push_str(key);
                short.push_str("=[\"\"]\n");
            }
            "title" if inside_form => {}
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => {
                short.push_str(line);
                short.push('\n');
            }
        }
    }
    short
}
