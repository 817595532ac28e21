//! Small pictures that clients show to people beside a prompt, a resource or a tool.
//!
//! They are strokes in a square of 24, drawn here, and travel as `data:` URIs: a client that fetched one from elsewhere would
//! tell somebody that it did.

use serde::Deserialize;

/// What a picture is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Icon {
    /// An incident.
    Alert,
    /// Records.
    Audit,
    /// Command lines.
    Commands,
    /// Containers.
    Containers,
    /// Many hosts.
    Fleet,
    /// One host.
    Host,
    /// What was learnt from blocked commands.
    Learning,
    /// Logs.
    Logs,
    /// The network.
    Network,
    /// What may run.
    Policy,
    /// A document that somebody signs.
    Proposal,
    /// Bringing something back.
    Recovery,
    /// Services.
    Services,
    /// Processor, memory, disks.
    System,
    /// Any tool.
    Tool,
}

/// The media type of all.
pub const MEDIA_TYPE: &str = "image/svg+xml";

impl Icon {
    /// All pictures.
    #[cfg(test)]
    pub(super) const ALL: [Self; 15] = [
        Self::Alert,
        Self::Audit,
        Self::Commands,
        Self::Containers,
        Self::Fleet,
        Self::Host,
        Self::Learning,
        Self::Logs,
        Self::Network,
        Self::Policy,
        Self::Proposal,
        Self::Recovery,
        Self::Services,
        Self::System,
        Self::Tool,
    ];

    /// The picture as a URI of at most 300 bytes.
    pub fn uri(self) -> String {
        let svg = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='#256' stroke-width='2'>\
             <path d='{}'/></svg>",
            self.strokes()
        );
        let mut uri = format!("data:{MEDIA_TYPE},");
        for c in svg.chars() {
            match c {
                ' ' | '<' | '>' | '#' => uri.push_str(&format!("%{:02X}", u32::from(c))),
                _ => uri.push(c),
            }
        }
        uri
    }

    fn strokes(self) -> &'static str {
        match self {
            Self::Alert => "M12 3l10 18H2zM12 10v5M12 18h.1",
            Self::Audit => "M4 6h.1M4 12h.1M4 18h.1M8 6h12M8 12h12M8 18h12",
            Self::Commands => "M3 4h18v16H3zM7 9l3 3-3 3M12 15h5",
            Self::Containers => "M12 3l9 5v8l-9 5-9-5V8zM3 8l9 5 9-5M12 13v8",
            Self::Fleet => "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
            Self::Host => "M3 4h18v7H3zM3 13h18v7H3zM7 7.5h.1M7 16.5h.1",
            Self::Learning => "M9 17h6M10 21h4M9 17c0-2-3-3-3-7a6 6 0 0 1 12 0c0 4-3 5-3 7",
            Self::Logs => "M4 5h16M4 10h16M4 15h10M4 20h7",
            Self::Network => "M9 3h6v5H9zM3 16h6v5H3zM15 16h6v5h-6zM12 8v4M6 16v-4h12v4",
            Self::Policy => "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM8 12l3 3 5-6",
            Self::Proposal => "M5 3h10l4 4v14H5zM9 11h6M8 17c2-3 3 2 7-1",
            Self::Recovery => "M5 8a8 8 0 1 1-1 6M4 3v6h6",
            Self::Services => "M3 4h18v16H3zM10 8l6 4-6 4z",
            Self::System => "M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4",
            Self::Tool => "M14 6l4-3 3 3-3 4-3-1-9 9-3-3 9-9zM4 4l5 5M15 15l5 5",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_is_a_small_uri_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for icon in Icon::ALL {
            let uri = icon.uri();
            let allowed = |b: u8| b.is_ascii_graphic() && !b"<>\"{}|\\^`#".contains(&b);
            assert!(
                uri.starts_with("data:image/svg+xml,%3Csvg%20") && uri.ends_with("/%3E%3C/svg%3E"),
                "{uri}"
            );
            assert!(uri.bytes().all(allowed) && uri.len() <= 300, "{} {uri}", uri.len());
            assert!(seen.insert(uri), "{icon:?}");
        }
    }
}
