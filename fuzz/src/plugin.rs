//! The plugin loader: a file is refused with a place, or every verdict with it is as it must be.

use policy::{Catalogue, Plugin};

use crate::judge::{examples, verdict};

/// Takes the bytes as a plugin file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Plugin::parse("local.toml", text) {
        Err(error) => {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&error.line), "{error}: the file has {lines} lines");
            assert!(error.file == "local.toml" && !error.cause.is_empty(), "{error}");
        }
        Ok(plugin) => loaded(&plugin, text),
    }
}

fn loaded(plugin: &Plugin, text: &str) {
    assert!(!plugin.commands.is_empty() && plugin.commands.iter().all(|c| !c.forms.is_empty()));
    let alone = Catalogue::of([("local.toml".to_owned(), text.to_owned())]);
    let catalogue = alone.unwrap_or_else(|e| panic!("what was read once is refused: {e}"));
    let _ = catalogue.check_examples();
    assert!(plugin.commands.iter().flat_map(|c| &c.forms).all(|form| !form.usage().is_empty()));
    assert!(serde_json::to_string(&catalogue.listing()).is_ok());
    for line in examples(&catalogue) {
        verdict(&catalogue, &line);
    }
}
