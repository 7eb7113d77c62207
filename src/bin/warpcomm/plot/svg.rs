//! Pictures as SVG: files, and parts of the report. They are light or dark as the reader's screen is.
//!
//! Written here, not by plotters, whose SVG has neither classes for the two grounds nor titles for those who do not see.

use std::fmt::Write;

use super::colours::{Colour, DARK, LIGHT, SERIES, Theme};
use super::scene::{Anchor, RADIUS, Scene, Shape};

/// A picture as a file of its own.
pub fn file(scene: &Scene) -> String {
    let style = format!(
        "<style>{}@media (prefers-color-scheme: dark){{{}}}</style>",
        style(&LIGHT),
        style(&DARK)
    );
    let attributes = format!(
        "xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"",
        scene.width, scene.height
    );
    picture(scene, &attributes, "picture", &style, Tips::Titles) + "\n"
}

/// A picture as part of a page that has the [`style`]; its parts are named by `id`.
pub fn inline(scene: &Scene, id: &str) -> String {
    picture(
        scene,
        &format!("style=\"max-width:{}px\"", scene.width),
        id,
        "",
        Tips::Data,
    )
}

/// The style sheet of pictures on a ground.
pub fn style(theme: &Theme) -> String {
    let series = (0..SERIES).map(Colour::Series);
    let others = [Colour::Ground, Colour::Text, Colour::Muted, Colour::Grid];
    let mut style = String::new();
    for colour in others.into_iter().chain(series) {
        let (name, hex) = (name(colour), theme.of(colour).hex());
        let _ = write!(style, ".fill-{name}{{fill:{hex}}}.line-{name}{{stroke:{hex}}}");
    }
    style
}

/// A text as it stands in SVG and HTML.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML has no such characters.
            control if control.is_control() && !matches!(control, '\n' | '\t') => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Where it is written what is said of a shape.
#[derive(Clone, Copy)]
enum Tips {
    /// In an element that viewers show.
    Titles,
    /// In an attribute that the page shows.
    Data,
}

fn picture(scene: &Scene, attributes: &str, id: &str, style: &str, tips: Tips) -> String {
    let mut text = format!(
        "<svg {attributes} viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-title {id}-description\" \
         font-family=\"system-ui, sans-serif\"><title id=\"{id}-title\">{}</title><desc id=\"{id}-description\">{}</desc>{style}",
        scene.width,
        scene.height,
        escaped(&scene.title),
        escaped(&scene.description),
    );
    for shape in &scene.shapes {
        draw(shape, tips, &mut text);
    }
    text.push_str("</svg>");
    text
}

fn draw(shape: &Shape, tips: Tips, text: &mut String) {
    // A String takes all that is written.
    let _ = match shape {
        Shape::Line {
            points,
            colour,
            width,
            dashed,
        } => write!(
            text,
            "<path d=\"{}\" fill=\"none\" {} stroke-width=\"{width}\" stroke-linejoin=\"round\"{}/>",
            path(points),
            stroke(*colour),
            if *dashed { " stroke-dasharray=\"5 4\"" } else { "" }
        ),
        Shape::Area {
            points,
            colour,
            opacity,
        } => write!(
            text,
            "<path d=\"{}Z\" {} fill-opacity=\"{opacity}\"/>",
            path(points),
            fill(*colour)
        ),
        Shape::Rectangle {
            at: (x, y),
            width,
            height,
            colour,
            tip,
        } => {
            let start = format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}",
                short(*x),
                short(*y),
                short(*width),
                short(*height),
                fill(*colour)
            );
            tipped(text, &start, "rect", tip.as_deref(), tips)
        }
        Shape::Marker {
            at,
            form,
            colour,
            tip,
        } => {
            let corners = form.corners(*at);
            match corners.is_empty() {
                true => {
                    let (x, y) = (short(at.0), short(at.1));
                    let start = format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{RADIUS}\" {}", fill(*colour));
                    tipped(text, &start, "circle", tip.as_deref(), tips)
                }
                false => {
                    let start = format!("<path d=\"{}Z\" {}", path(&corners), fill(*colour));
                    tipped(text, &start, "path", tip.as_deref(), tips)
                }
            }
        }
        Shape::Text {
            at: (x, y),
            text: words,
            size,
            colour,
            anchor,
            upwards,
        } => {
            let (x, y) = (short(*x), short(*y));
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let turned = match upwards {
                true => format!(" transform=\"rotate(-90 {x} {y})\""),
                false => String::new(),
            };
            write!(
                text,
                "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" dy=\"0.35em\" {}{turned}>{}</text>",
                fill(*colour),
                escaped(words)
            )
        }
    };
}

fn tipped(text: &mut String, start: &str, element: &str, tip: Option<&str>, tips: Tips) -> std::fmt::Result {
    match (tip.map(escaped), tips) {
        (None, _) => write!(text, "{start}/>"),
        (Some(tip), Tips::Titles) => write!(text, "{start}><title>{tip}</title></{element}>"),
        (Some(tip), Tips::Data) => write!(text, "{start} data-tip=\"{tip}\"/>"),
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (number, (x, y)) in points.iter().enumerate() {
        let command = if number == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{} {}", short(*x), short(*y));
    }
    path
}

/// A hundredth of a unit is not to be seen.
fn short(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn fill(colour: Colour) -> String {
    match colour {
        Colour::Fixed(rgb) => format!("fill=\"{}\"", rgb.hex()),
        other => format!("class=\"fill-{}\"", name(other)),
    }
}

fn stroke(colour: Colour) -> String {
    match colour {
        Colour::Fixed(rgb) => format!("stroke=\"{}\"", rgb.hex()),
        other => format!("class=\"line-{}\"", name(other)),
    }
}

fn name(colour: Colour) -> String {
    match colour {
        Colour::Ground => "ground".to_owned(),
        Colour::Text => "text".to_owned(),
        Colour::Muted => "muted".to_owned(),
        Colour::Grid => "grid".to_owned(),
        Colour::Series(number) => format!("series-{}", number % SERIES),
        Colour::Fixed(rgb) => rgb.hex(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write_is_no_markup() {
        let mut scene = Scene::new(10.0, 10.0, "<a>".to_owned(), "\"b\" & 'c'".to_owned());
        scene.text((1.0, 1.0), "<script>", 10.0, Colour::Text, Anchor::Start);
        let tip = Some("\"><b\u{1}".to_owned());
        scene.rectangle((0.0, 0.0), 1.0, 1.0, Colour::Series(7), tip);
        for text in [file(&scene), inline(&scene, "x")] {
            for wrong in ["<a>", "<script>", "\"b\"", "<b", "\u{1}"] {
                assert!(!text.contains(wrong), "{wrong} in {text}");
            }
            assert!(text.contains("class=\"fill-series-1\""), "{text}");
        }
    }
}
