//! What the pages say, in the reader's language. The texts are data: `texts.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The texts of one language.
#[derive(Debug)]
pub(super) struct Texts {
    /// For the page's `lang`.
    pub(super) language: &'static str,
    texts: BTreeMap<String, String>,
}

type File = BTreeMap<String, BTreeMap<String, String>>;

static LANGUAGES: LazyLock<Vec<Texts>> = LazyLock::new(|| {
    // The file is compiled in and a test reads it.
    let file: File = toml::from_str(include_str!("texts.toml")).unwrap_or_default();
    ["en", "fr"]
        .map(|language| Texts {
            language,
            texts: file.iter().filter_map(|(k, by)| Some((k.clone(), by.get(language)?.clone()))).collect(),
        })
        .into()
});

impl Texts {
    /// The first language of an `Accept-Language` header that there is; English otherwise.
    pub(super) fn choose(accepted: &str) -> &'static Self {
        let wanted = accepted
            .split(',')
            .map(|l| l.split(['-', ';']).next().unwrap_or_default().trim().to_ascii_lowercase());
        let found = wanted.into_iter().find_map(|w| LANGUAGES.iter().find(|l| l.language == w));
        found.unwrap_or(&LANGUAGES[0])
    }

    /// A word of ours, such as a state or a risk, in this language.
    pub(super) fn word(&self, word: impl std::fmt::Display) -> String {
        self.get(&word.to_string()).to_owned()
    }

    /// The text of a key; a key that does not exist shows itself.
    pub(super) fn get<'a>(&'a self, key: &'a str) -> &'a str {
        self.texts.get(key).map_or(key, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages_and_every_key_of_a_page_has_one() {
        let [english, french] = LANGUAGES.as_slice() else { panic!("two languages") };
        assert!(english.texts.len() > 50 && english.texts.keys().eq(french.texts.keys()));
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for rest in text.split("t.get(\"").skip(1) {
                let key = rest.split('"').next().unwrap();
                assert!(english.texts.contains_key(key), "{key}");
                seen += 1;
            }
        }
        assert!(seen > 50);
    }

    #[test]
    fn the_first_language_that_there_is_is_taken() {
        for (accepted, language) in [
            ("", "en"),
            ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
            ("de, FR;q=0.5", "fr"),
            ("en,fr", "en"),
            ("*", "en"),
        ] {
            assert_eq!(Texts::choose(accepted).language, language, "{accepted}");
        }
    }
}
