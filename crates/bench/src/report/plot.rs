//! A plot of one benchmark: everybody's latency and throughput beside each other and beside the machine's floor.

use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow};
use epaint_default_fonts::HACK_REGULAR;
use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, Circle, Color, DrawingArea, DrawingBackend, IntoDrawingArea, PathElement, RGBColor, Rectangle,
    SVGBackend, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, IntoFont, TextStyle, register_font};

use super::series::{self, Series};
use crate::engine::{Durability, Role};

const FONT: &str = "monospace";
const FONT_PIXELS: i32 = 13;
const WIDTH: u32 = 1000;
const HEAD_PIXELS: i32 = 48;
const ROW_PIXELS: i32 = 24;
const FOOT_PIXELS: i32 = 28;
/// Where the names end and the latencies begin, where those end, where the throughputs begin and end.
const LATENCY: (i32, i32) = (200, 590);
const THROUGHPUT: (i32, i32) = (620, 900);
const DOT_PIXELS: i32 = 4;
const BAR_PIXELS: i32 = 12;
const DASH_PIXELS: i32 = 4;
/// From here on powers of ten are marks enough.
const WIDE_RATIO: f64 = 300.0;
const GREY: RGBColor = RGBColor(120, 120, 120);
const INK: RGBColor = RGBColor(30, 30, 30);

/// The font travels with the program: plots look the same on machines that have none.
static FONT_READY: LazyLock<bool> = LazyLock::new(|| register_font(FONT, FontStyle::Normal, HACK_REGULAR).is_ok());

struct Row {
    engine: String,
    role: Role,
    p50_us: f64,
    p99_us: f64,
    items_per_s: f64,
}

/// What is drawn.
pub(super) struct Plot {
    title: String,
    rows: Vec<Row>,
    /// An append and a sync of the machine, where the benchmark waits for the disk.
    floor_us: Option<f64>,
}

impl Plot {
    /// None if nothing was measured.
    pub(super) fn of(benchmark: &str, all: &[Series<'_>]) -> Option<Self> {
        let rows: Vec<Row> = all
            .iter()
            .filter_map(|series| {
                Some(Row {
                    engine: series.engine().to_owned(),
                    role: series.role(),
                    p50_us: series.median(series::p50_us)?,
                    p99_us: series.median(series::p99_us)?,
                    items_per_s: series.median(series::items_per_second)?,
                })
            })
            .collect();
        let first = all.first()?.first;
        let floor = first.run.floor.filter(|_| first.durability == Durability::Sync);
        let floor_us = floor.map(|floor| floor.append_sync_p50_ns as f64 / 1e3);
        (!rows.is_empty()).then(|| Self { title: benchmark.to_owned(), rows, floor_us })
    }

    fn size(&self) -> (u32, u32) {
        let rows = i32::try_from(self.rows.len()).unwrap_or(i32::MAX / ROW_PIXELS / 2);
        (WIDTH, (HEAD_PIXELS + rows * ROW_PIXELS + FOOT_PIXELS).unsigned_abs())
    }

    /// As SVG.
    pub(super) fn svg(&self) -> Result<String> {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, self.size()).into_drawing_area();
        self.draw(&area).with_context(|| format!("cannot draw {}", self.title))?;
        drop(area);
        Ok(text)
    }

    /// As PNG.
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        let (width, height) = self.size();
        let mut pixels = vec![0; (width * height * 3) as usize];
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        self.draw(&area).with_context(|| format!("cannot draw {}", self.title))?;
        drop(area);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(bytes)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()> {
        if !*FONT_READY {
            return Err(anyhow!("the font of the plots cannot be read"));
        }
        self.paint(area).map_err(|error| anyhow!("{error}"))
    }

    fn paint<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), plotters::drawing::DrawingAreaErrorKind<B::ErrorType>> {
        area.fill(&WHITE)?;
        let scale = Scale::over(self);
        let rate_max = self.rows.iter().map(|row| row.items_per_s).fold(f64::MIN_POSITIVE, f64::max);
        let bottom = HEAD_PIXELS + ROW_PIXELS * i32::try_from(self.rows.len()).unwrap_or(0);
        area.draw(&Text::new(self.title.clone(), (10, 8), style(INK, HPos::Left)))?;
        area.draw(&Text::new("p50 to p99, us", (LATENCY.0, 26), style(GREY, HPos::Left)))?;
        area.draw(&Text::new("items/s", (THROUGHPUT.0, 26), style(GREY, HPos::Left)))?;
        for mark in scale.marks() {
            let x = scale.x(mark);
            area.draw(&PathElement::new([(x, HEAD_PIXELS), (x, bottom)], GREY.mix(0.3)))?;
            area.draw(&Text::new(short(mark), (x, bottom + 6), style(GREY, HPos::Center)))?;
        }
        if let Some(floor) = self.floor_us {
            let x = scale.x(floor);
            for y in (HEAD_PIXELS..bottom).step_by(2 * DASH_PIXELS as usize) {
                area.draw(&PathElement::new([(x, y), (x, (y + DASH_PIXELS).min(bottom))], INK))?;
            }
        }
        let middles = (0..).map(|number| HEAD_PIXELS + ROW_PIXELS * number + ROW_PIXELS / 2);
        for (row, y) in self.rows.iter().zip(middles) {
            let colour = colour_of(row.role);
            let name = style(INK, HPos::Right).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(row.engine.clone(), (LATENCY.0 - 12, y), name))?;
            let (from, to) = (scale.x(row.p50_us), scale.x(row.p99_us));
            area.draw(&PathElement::new([(from, y), (to, y)], colour.stroke_width(2)))?;
            area.draw(&Circle::new((from, y), DOT_PIXELS, colour.filled()))?;
            area.draw(&Circle::new((to, y), DOT_PIXELS / 2, colour.filled()))?;
            let length = f64::from(THROUGHPUT.1 - THROUGHPUT.0) * row.items_per_s / rate_max;
            let end = THROUGHPUT.0 + (length as i32).max(1);
            let bar = [(THROUGHPUT.0, y - BAR_PIXELS / 2), (end, y + BAR_PIXELS / 2)];
            area.draw(&Rectangle::new(bar, colour.filled()))?;
            let rate = style(INK, HPos::Left).pos(Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(short(row.items_per_s), (end + 6, y), rate))?;
        }
        area.present()
    }
}

fn style(colour: RGBColor, position: HPos) -> TextStyle<'static> {
    TextStyle {
        font: (FONT, FONT_PIXELS).into_font(),
        color: colour.to_backend_color(),
        pos: Pos::new(position, VPos::Top),
    }
}

const fn colour_of(role: Role) -> RGBColor {
    match role {
        Role::Subject => RGBColor(200, 60, 30),
        Role::Peer => RGBColor(40, 100, 170),
        Role::Alternate => RGBColor(120, 160, 200),
        Role::Floor | Role::Machine => GREY,
    }
}

/// From microseconds to pixels, on a logarithmic scale.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn over(plot: &Plot) -> Self {
        let values = || plot.rows.iter().flat_map(|row| [row.p50_us, row.p99_us]).chain(plot.floor_us);
        let low = values().fold(f64::INFINITY, f64::min).max(1e-4) / 1.3;
        let high = values().fold(0.0, f64::max).max(low * 2.0) * 1.3;
        Self { low, high }
    }

    fn x(&self, value: f64) -> i32 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        LATENCY.0 + (f64::from(LATENCY.1 - LATENCY.0) * share) as i32
    }

    /// The powers of ten on the scale; where there are hardly any, their doubles and halves too.
    fn marks(&self) -> impl Iterator<Item = f64> {
        let steps: &[f64] = if self.high / self.low < WIDE_RATIO { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let all = (first..=last).flat_map(move |power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        all.filter(|mark| (self.low..=self.high).contains(mark))
    }
}

/// A number in few characters: 12, 3.4k, 5.6M, 0.01.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        _ if value >= 1e9 => (value / 1e9, "G"),
        _ if value >= 1e6 => (value / 1e6, "M"),
        _ if value >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let rounded = if scaled >= 100.0 { format!("{scaled:.0}") } else { format!("{scaled:.3}") };
    let digits = if rounded.contains('.') { rounded.trim_end_matches('0').trim_end_matches('.') } else { &rounded };
    let digits: String = digits.chars().take(5).collect();
    format!("{}{unit}", digits.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::group;
    use crate::results::RunResult;
    use crate::results::tests::sample;

    fn plot() -> Plot {
        let mut peer = sample();
        peer.engine.name = "some-peer".to_owned();
        peer.engine.role = Role::Peer;
        let results: Vec<RunResult> = vec![sample(), peer];
        let groups = group(&results);
        let (name, all) = groups.iter().next().expect("one benchmark");
        Plot::of(name, all).expect("measured")
    }

    #[test]
    fn the_plot_names_everybody_and_shows_the_floor() {
        let svg = plot().svg().expect("drawn");
        for word in ["<svg", "client/b1/w1", "granite", "some-peer", "10k", "p50 to p99"] {
            assert!(svg.contains(word), "no {word} in {svg}");
        }
    }

    #[test]
    fn the_picture_has_its_size_and_text_without_a_font_of_the_system() {
        let plot = plot();
        let bytes = plot.png().expect("drawn");
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().expect("a picture");
        let mut pixels = vec![0; reader.output_buffer_size().expect("it has a size")];
        let info = reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!((info.width, info.height), plot.size());
        // The names stand left of the plots, and nothing else does.
        let dark = |row: usize| {
            let line = &pixels[row * info.line_size..];
            line[..usize::try_from(LATENCY.0 - 12).expect("positive") * 3].iter().any(|&value| value < 100)
        };
        let rows = HEAD_PIXELS as usize..HEAD_PIXELS as usize + 2 * ROW_PIXELS as usize;
        assert!(rows.filter(|&row| dark(row)).count() > 8, "no name was drawn");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [12.0, 3400.0, 5_600_000.0, 0.01, 123.4, 0.0].map(short);
        assert_eq!(shown, ["12", "3.4k", "5.6M", "0.01", "123", "0"]);
    }
}
