//! Puts all mutants of a file into one text of it: each stands behind a switch, `crate::mutant::is(17)`, beside what it replaces.
//!
//! Alternatives are the source's own words, so that a mutant inside another is not woven into it twice: one is active at a time.

use std::ops::Range;

use crate::sites::{Site, Sites};

/// Something that is put into a file, for the mutant `id`.
#[derive(Clone, Debug)]
pub(crate) struct Alternative {
    pub(crate) id: u32,
    pub(crate) site: Site,
    pub(crate) text: String,
}

/// A file with its mutants, and where each of them has come to stand.
pub(crate) struct Woven {
    pub(crate) text: String,
    /// Bytes of `text`: of an alternative alone, or of everything around a site, for all mutants of that site.
    spots: Vec<(Range<usize>, Vec<u32>)>,
}

impl Woven {
    /// The mutants that a compiler's complaint at byte `at` is about: those of the smallest spot around it.
    pub(crate) fn blamed(&self, at: usize) -> &[u32] {
        let around = self.spots.iter().filter(|(range, _)| range.contains(&at));
        around.min_by_key(|(range, _)| range.len()).map_or(&[], |(_, ids)| ids)
    }
}

/// All that is done at one place.
struct Edit<'a> {
    range: Range<usize>,
    site: &'a Site,
    alternatives: Vec<&'a Alternative>,
}

/// Weaves the alternatives into the source.
///
/// # Panics
/// When two sites overlap and neither is inside the other.
pub(crate) fn weave(source: &str, alternatives: &[Alternative]) -> Woven {
    let mut edits: Vec<Edit<'_>> = Vec::new();
    for alternative in alternatives {
        match edits.iter_mut().find(|edit| *edit.site == alternative.site) {
            Some(edit) => edit.alternatives.push(alternative),
            None => edits.push(Edit {
                range: alternative.site.range(),
                site: &alternative.site,
                alternatives: vec![alternative],
            }),
        }
    }
    // The outer before the inner. What is put at a point stands before what begins there.
    edits.sort_by_key(|edit| (edit.range.start, !edit.range.is_empty(), usize::MAX - edit.range.end));
    let mut woven = Woven { text: String::new(), spots: Vec::new() };
    copy(&mut woven, source, 0..source.len(), &edits);
    woven
}

fn copy(woven: &mut Woven, source: &str, range: Range<usize>, edits: &[Edit<'_>]) {
    let (mut at, mut rest) = (range.start, edits);
    while let Some((edit, others)) = rest.split_first() {
        assert!(at <= edit.range.start && edit.range.end <= range.end, "two sites overlap: {:?}", edit.site);
        woven.text.push_str(&source[at..edit.range.start]);
        let inside = others.iter().take_while(|other| other.range.start < edit.range.end).count();
        let (inside, after) = others.split_at(inside);
        put(woven, source, edit, inside);
        (at, rest) = (edit.range.end, after);
    }
    woven.text.push_str(&source[at..range.end]);
}

fn put(woven: &mut Woven, source: &str, edit: &Edit<'_>, inside: &[Edit<'_>]) {
    let from = woven.text.len();
    let is_expression = matches!(edit.site, Site::Expression(_));
    if is_expression {
        woven.text.push('(');
    }
    for alternative in &edit.alternatives {
        let from = woven.text.len();
        let Alternative { id, text, .. } = alternative;
        woven.text.push_str(&match edit.site {
            Site::Expression(_) | Site::Statements(_) => format!("if crate::mutant::is({id}) {{ {text} }} else "),
            Site::Body(_) => format!("if crate::mutant::is({id}) {{ return {text}; }} "),
            Site::Arm(_) => format!(" if !crate::mutant::is({id})"),
        });
        woven.spots.push((from..woven.text.len(), vec![*id]));
    }
    if !edit.range.is_empty() {
        woven.text.push_str("{ ");
        copy(woven, source, edit.range.clone(), inside);
        woven.text.push_str(" }");
    }
    if is_expression {
        woven.text.push(')');
    }
    woven.spots.push((from..woven.text.len(), edit.alternatives.iter().map(|alternative| alternative.id).collect()));
}

/// What a mechanism written by hand puts into a file: where `find` stands, `replace`.
///
/// # Errors
/// When the text is not there exactly once, or nothing around it can be replaced while the service runs.
pub(crate) fn by_hand(sites: &Sites, source: &str, find: &str, replace: &str) -> Result<(Site, String), String> {
    let mut places = source.match_indices(find).map(|(at, _)| at);
    let at = places.next().ok_or("its text is not there")?;
    if places.next().is_some() {
        return Err("its text is there more than once".to_owned());
    }
    let found = at..at + find.len();
    let site = sites.around(&found).ok_or("there is no expression around it")?;
    let range = site.range();
    let text = [&source[range.start..found.start], replace, &source[found.end..range.end]].concat();
    Ok((site, text))
}
