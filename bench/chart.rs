//! The chart: orders per second as bars, a panel for 32 clients and one for each system's best client count.

use std::fmt::Write as _;

use crate::plan::{CLIENTS, Load, System};
use crate::report::{Cells, best, whole};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 750.0;
const LEFT: f64 = 70.0;
const PANEL_HEIGHT: f64 = 240.0;
const PANEL_TOPS: [f64; 2] = [105.0, 425.0];
const BAR: f64 = 42.0;
const COLORS: [&str; 4] = ["#8a8f98", "#1f6feb", "#79b8ff", "#e08e45"];

/// Draws the chart.
pub(crate) fn svg(cells: &Cells, machine: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#24292f\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"30\" font-size=\"18\" font-weight=\"bold\">Orders per second (sold_out: refusals)</text>"
    );
    for (index, (system, color)) in System::ALL.iter().zip(COLORS).enumerate() {
        let x = LEFT + 150.0 * index as f64;
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"45\" width=\"13\" height=\"13\" fill=\"{color}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"56\">{}</text>", x + 19.0, system.name());
    }
    panel(&mut svg, cells, PANEL_TOPS[0], "at 32 clients", &[32]);
    panel(
        &mut svg,
        cells,
        PANEL_TOPS[1],
        "at the best client count of each that was measured (under the bar)",
        &CLIENTS,
    );
    let machine = machine.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" font-size=\"11\" fill=\"#57606a\">{machine}</text>\n</svg>",
        HEIGHT - 10.0
    );
    svg
}

/// A group of bars for each load.
fn panel(svg: &mut String, cells: &Cells, top: f64, title: &str, clients: &[u32]) {
    let bottom = top + PANEL_HEIGHT;
    let rate = |load, system| best(cells, load, system, clients);
    let rates = Load::ALL.into_iter().flat_map(|load| System::ALL.map(|system| rate(load, system).1));
    let greatest = rates.fold(1.0, f64::max);
    let step = step_for(greatest);
    let steps = (greatest / step).ceil();
    let full = step * steps;
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 18.0);
    for line in 0..=steps as u32 {
        let value = step * f64::from(line);
        let y = bottom - PANEL_HEIGHT * value / full;
        let _ = writeln!(svg, "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#d0d7de\"/>", WIDTH - 20.0);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" font-size=\"11\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            whole(value)
        );
    }
    let group = (WIDTH - LEFT - 20.0) / Load::ALL.len() as f64;
    for (index, load) in Load::ALL.into_iter().enumerate() {
        let start = LEFT + group * index as f64 + (group - 4.0 * BAR) / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            start + 2.0 * BAR,
            bottom + 34.0,
            load.name()
        );
        for (place, (system, color)) in System::ALL.into_iter().zip(COLORS).enumerate() {
            let (at, value) = rate(load, system);
            if at == 0 {
                continue;
            }
            let (x, height) = (start + BAR * place as f64, PANEL_HEIGHT * value / full);
            let middle = x + BAR / 2.0;
            let y = bottom - height;
            let _ = writeln!(
                svg,
                "<rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{height}\" fill=\"{color}\"/>",
                x + 2.0,
                BAR - 4.0
            );
            let _ = writeln!(
                svg,
                "<text x=\"{middle}\" y=\"{}\" font-size=\"11\" text-anchor=\"middle\">{}</text>",
                y - 4.0,
                whole(value)
            );
            let _ = writeln!(
                svg,
                "<text x=\"{middle}\" y=\"{}\" font-size=\"11\" fill=\"#57606a\" text-anchor=\"middle\">{at}</text>",
                bottom + 15.0
            );
        }
    }
}

/// A round number that fits into `greatest` two to five times.
fn step_for(greatest: f64) -> f64 {
    let power = 10_f64.powf((greatest / 2.0).log10().floor());
    let fits = |factor: &&f64| *factor * power * 2.0 <= greatest;
    [5.0, 2.0, 1.0].iter().find(fits).map_or(power, |factor| factor * power)
}
