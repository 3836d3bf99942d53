//! The report as one page: the summary, and a plot of each benchmark.

use pulldown_cmark::{Event, Options, Parser, html};

/// The folder of the plots, beside the page.
pub(super) const PLOTS: &str = "plots";

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Benchmarks</title>\n<style>\n\
    body { font-family: sans-serif; margin: 2em; max-width: 90em; color: #222; }\n\
    table { border-collapse: collapse; margin: 1em 0; font-size: 85%; }\n\
    th, td { border: 1px solid #ccc; padding: 0.2em 0.6em; text-align: right; }\n\
    th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }\n\
    figure { margin: 1em 0; }\n</style>\n</head>\n<body>\n";

/// The page: `summary` is Markdown, `drawn` names the benchmarks and the files of their plots.
pub(super) fn html(summary: &str, drawn: &[(&str, String)]) -> String {
    let mut page = HEAD.to_owned();
    // A message of a program that failed may look like HTML.
    let events = Parser::new_ext(summary, Options::ENABLE_TABLES).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        other => other,
    });
    html::push_html(&mut page, events);
    page.push_str("<p>The same as <a href=\"results.csv\">CSV</a>, a line for each repeat.</p>\n<h2>Plots</h2>\n");
    page.push_str(
        "<p>Left: latency, from the median to the 99th percentile, on a logarithmic scale; the dashed line is an append and a sync \
         of the machine. Right: items per second.</p>\n",
    );
    for (benchmark, file) in drawn {
        page.push_str(&format!(
            "<figure><img src=\"{PLOTS}/{file}.svg\" alt=\"{benchmark}\"><figcaption><a href=\"{PLOTS}/{file}.png\">PNG</a></figcaption></figure>\n"
        ));
    }
    page.push_str("</body>\n</html>\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_tables_and_messages_stay_text() {
        let summary = "# Benchmarks\n\n| a | b |\n| --- | --- |\n| 1 | <script>x</script> |\n";
        let page = html(summary, &[("client/b1", "client.b1".to_owned())]);
        assert!(page.contains("<table>") && page.contains("<td>1</td>"), "{page}");
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
        assert!(
            page.contains("src=\"plots/client.b1.svg\"") && page.contains("href=\"plots/client.b1.png\""),
            "{page}"
        );
    }
}
