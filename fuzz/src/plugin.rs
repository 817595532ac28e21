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
    // Only a name that is taken keeps a good file out.
    let Ok(catalogue) = Catalogue::with_plugins([("local.toml".to_owned(), text.to_owned())]) else { return };
    let _ = catalogue.check_examples();
    let own: Vec<String> = plugin.commands.iter().map(|c| c.name.clone()).collect();
    for line in examples(&catalogue) {
        if own.iter().any(|name| line.starts_with(name.as_str())) {
            verdict(&catalogue, &line);
        }
    }
    for form in plugin.commands.iter().flat_map(|c| &c.forms) {
        assert!(!form.usage().is_empty());
        form.examples.iter().chain(&form.counter_examples).for_each(|line| verdict(&catalogue, line));
    }
}
