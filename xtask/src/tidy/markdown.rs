//! What the rules read out of a Markdown document.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

pub struct Mention {
    /// From 1.
    pub line: usize,
    pub text: String,
}

#[derive(Default)]
pub struct Document {
    /// Targets of links and images, as written.
    pub links: Vec<Mention>,
    /// Text between single backticks.
    pub code_spans: Vec<Mention>,
}

impl Document {
    pub fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut in_block = false;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = || 1 + text[..range.start].matches('\n').count();
            match event {
                Event::Start(Tag::CodeBlock(_)) => in_block = true,
                Event::End(TagEnd::CodeBlock) => in_block = false,
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(Mention { line: line(), text: dest_url.into_string() });
                }
                Event::Code(code) if !in_block => {
                    document.code_spans.push(Mention { line: line(), text: code.into_string() });
                }
                _ => {}
            }
        }
        document
    }

    /// The links that lead to files, without their anchors.
    pub fn file_links(&self) -> impl Iterator<Item = (usize, &str)> {
        self.links.iter().filter_map(|link| {
            let remote = link.text.contains("://") || link.text.starts_with("mailto:") || link.text.starts_with('#');
            let file = link.text.split(['#', '?']).next().unwrap_or_default();
            (!remote).then_some((link.line, file))
        })
    }
}
