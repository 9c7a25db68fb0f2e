//! Puts every mutant into the source, each behind a switch: `if switches::on(17) { mutant } else { as it was }`.
//!
//! A file is parsed, and where a mutant's place is met a *wrap* is noted: a stretch of the source and
//! the pieces that take its place. Pieces are text, a mutant's own code, or the source as it was, in
//! which further wraps may lie. Only one mutant is on at a time, so a mutant's own code is the plain
//! source with the change.

use crate::{
    Result,
    mutant::{Genre, Mutant, Place},
};
use proc_macro2::{LineColumn, Span};
use std::{collections::HashMap, ops::Range};
use syn::{
    Arm, Block, Expr, ExprBinary, ExprMatch, ExprStruct, ExprUnary, ImplItemFn, ItemFn, Pat, Signature, TraitItemFn,
    spanned::Spanned,
    visit::{self, Visit},
};

/// A file with its mutants in it.
pub(crate) struct Woven {
    pub(crate) text: String,
    /// Bytes of `text` that are one mutant's code.
    pub(crate) mutants: Vec<(Range<usize>, usize)>,
    /// Bytes of `text` in which these mutants changed how the code is put.
    pub(crate) wraps: Vec<(Range<usize>, Vec<usize>)>,
    /// Mutants that found their place.
    pub(crate) placed: Vec<usize>,
    /// Mutants that Rust's grammar refuses.
    pub(crate) ungrammatical: Vec<usize>,
}

enum Piece {
    Text(String),
    Source(Range<usize>),
    Mutant(usize, String),
}

struct Wrap {
    range: Range<usize>,
    pieces: Vec<Piece>,
    ids: Vec<usize>,
}

/// `mutants`: those of this file, with the number of their switch.
pub(crate) fn weave(source: &str, mutants: &[(usize, &Mutant)]) -> Result<Woven> {
    let tree = syn::parse_file(source)?;
    let mut lines = vec![0];
    lines.extend(source.match_indices('\n').map(|(at, _)| at + 1));
    let mut at: HashMap<_, Vec<(usize, String)>> = HashMap::new();
    for (id, mutant) in mutants {
        let place = (mutant.span.start, mutant.genre);
        at.entry(place).or_default().push((*id, mutant.replacement.clone()));
    }
    let mut finder = Finder {
        source,
        lines,
        at,
        wraps: Vec::new(),
        ungrammatical: Vec::new(),
    };
    finder.visit_file(&tree);
    let mut wraps = finder.wraps;
    // Outer before inner; a stable sort keeps parents, which were met first, before their children.
    wraps.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
    let mut woven = Woven {
        text: String::new(),
        mutants: Vec::new(),
        wraps: Vec::new(),
        placed: Vec::new(),
        ungrammatical: finder.ungrammatical,
    };
    woven.placed = wraps.iter().flat_map(|wrap| wrap.ids.iter().copied()).collect();
    render(source, &wraps, 0, 0..source.len(), &mut woven);
    Ok(woven)
}

fn render(source: &str, wraps: &[Wrap], first: usize, range: Range<usize>, woven: &mut Woven) {
    let mut done = range.start;
    for (index, wrap) in wraps.iter().enumerate().skip(first) {
        if wrap.range.start < done || wrap.range.end > range.end {
            continue;
        }
        woven.text.push_str(&source[done..wrap.range.start]);
        let start = woven.text.len();
        for piece in &wrap.pieces {
            match piece {
                Piece::Text(text) => woven.text.push_str(text),
                Piece::Source(inner) => render(source, wraps, index + 1, inner.clone(), woven),
                Piece::Mutant(id, text) => {
                    let from = woven.text.len();
                    woven.text.push_str(text);
                    woven.mutants.push((from..woven.text.len(), *id));
                }
            }
        }
        woven.wraps.push((start..woven.text.len(), wrap.ids.clone()));
        done = wrap.range.end;
    }
    woven.text.push_str(&source[done..range.end]);
}

struct Finder<'a> {
    source: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    at: HashMap<(Place, Genre), Vec<(usize, String)>>,
    wraps: Vec<Wrap>,
    ungrammatical: Vec<usize>,
}

fn on(id: usize) -> String {
    format!("crate::switches::on({id})")
}

impl Finder<'_> {
    fn byte(&self, place: LineColumn) -> usize {
        let start = self.lines[place.line - 1];
        let line = &self.source[start..];
        start + line.char_indices().nth(place.column).map_or(line.len(), |(at, _)| at)
    }

    fn range(&self, span: Span) -> Range<usize> {
        self.byte(span.start())..self.byte(span.end())
    }

    fn text(&self, span: Span) -> &str {
        &self.source[self.range(span)]
    }

    fn of(&mut self, span: Span, genre: Genre) -> Vec<(usize, String)> {
        let start = span.start();
        let place = Place {
            line: start.line,
            column: start.column + 1,
        };
        self.at.remove(&(place, genre)).unwrap_or_default()
    }

    /// `if` the first is on its code, `else if` the second ..., `else` as it was.
    fn choose(&mut self, whole: Span, mutants: Vec<(usize, String)>) {
        if mutants.is_empty() {
            return;
        }
        let range = self.range(whole);
        let ids = mutants.iter().map(|(id, _)| *id).collect();
        let mut pieces = vec![Piece::Text("(".into())];
        for (id, code) in mutants {
            pieces.push(Piece::Text(format!("if {} {{ ", on(id))));
            pieces.push(Piece::Mutant(id, code));
            pieces.push(Piece::Text(" } else ".into()));
        }
        pieces.push(Piece::Text("{ ".into()));
        pieces.push(Piece::Source(range.clone()));
        pieces.push(Piece::Text(" })".into()));
        self.wraps.push(Wrap { range, pieces, ids });
    }

    fn body(&mut self, signature: &Signature, block: &Block) {
        // Two values of one `impl Trait` would have to be of one type.
        if self.text(signature.output.span()).contains("impl ") {
            return;
        }
        let Some(first) = block.stmts.first() else {
            return;
        };
        let mutants = self.of(first.span(), Genre::FnValue);
        let at = self.range(block.brace_token.span.open()).end;
        let ids: Vec<usize> = mutants.iter().map(|(id, _)| *id).collect();
        if ids.is_empty() {
            return;
        }
        let mut pieces = Vec::new();
        for (id, value) in mutants {
            pieces.push(Piece::Text(format!(" if {} {{ return ", on(id))));
            pieces.push(Piece::Mutant(id, value));
            pieces.push(Piece::Text("; }".into()));
        }
        self.wraps.push(Wrap {
            range: at..at,
            pieces,
            ids,
        });
    }
}

/// `if let` conditions are joined with `&&`, and with nothing else.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, node: &'ast ItemFn) {
        self.body(&node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast ImplItemFn) {
        self.body(&node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &'ast TraitItemFn) {
        if let Some(block) = &node.default {
            self.body(&node.sig, block);
        }
        visit::visit_trait_item_fn(self, node);
    }

    fn visit_expr_binary(&mut self, node: &'ast ExprBinary) {
        let mutants = self.of(node.op.span(), Genre::BinaryOperator);
        if has_let(&node.left) || has_let(&node.right) {
            self.ungrammatical.extend(mutants.iter().map(|(id, _)| *id));
        } else {
            let left = self.text(node.left.span()).to_owned();
            let right = self.text(node.right.span()).to_owned();
            let changed = mutants
                .into_iter()
                .map(|(id, op)| (id, format!("{left} {op} {right}")))
                .collect();
            self.choose(node.span(), changed);
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast ExprUnary) {
        let mutants = self.of(node.op.span(), Genre::UnaryOperator);
        let operand = self.text(node.expr.span()).to_owned();
        self.choose(
            node.span(),
            mutants.into_iter().map(|(id, _)| (id, operand.clone())).collect(),
        );
        visit::visit_expr_unary(self, node);
    }

    fn visit_expr_match(&mut self, node: &'ast ExprMatch) {
        let range = self.range(node.span());
        let (mut pieces, mut ids) = (vec![Piece::Text("{ ".into())], Vec::new());
        for arm in &node.arms {
            let gone = self.range(arm.span());
            for (id, _) in self.of(arm.span(), Genre::MatchArm) {
                let without = format!(
                    "{}{}",
                    &self.source[range.start..gone.start],
                    &self.source[gone.end..range.end]
                );
                pieces.push(Piece::Text(format!("if {} {{ ", on(id))));
                pieces.push(Piece::Mutant(id, without));
                pieces.push(Piece::Text(" } else ".into()));
                ids.push(id);
            }
        }
        if !ids.is_empty() {
            pieces.push(Piece::Text("{ ".into()));
            pieces.push(Piece::Source(range.clone()));
            pieces.push(Piece::Text(" } }".into()));
            self.wraps.push(Wrap { range, pieces, ids });
        }
        visit::visit_expr_match(self, node);
    }

    fn visit_arm(&mut self, node: &'ast Arm) {
        if let Pat::Guard(guarded) = &node.pat {
            let replaced = self.of(guarded.guard.span(), Genre::MatchArmGuard);
            self.choose(guarded.guard.span(), replaced);
            self.visit_expr(&guarded.guard);
        }
        self.visit_expr(&node.body);
    }

    fn visit_expr_struct(&mut self, node: &'ast ExprStruct) {
        if let Some(rest) = &node.rest {
            let path = self.text(node.path.span()).to_owned();
            let rest = self.text(rest.span()).to_owned();
            for field in &node.fields {
                let name = self.text(field.member.span()).to_owned();
                for (id, _) in self.of(field.span(), Genre::StructField) {
                    let range = self.range(field.span());
                    let value = self.range(field.expr.span());
                    let pieces = vec![
                        Piece::Text(format!("{name}: if {} {{ ", on(id))),
                        Piece::Mutant(id, format!("let whole: {path} = {rest}; whole.{name}")),
                        Piece::Text(" } else { ".into()),
                        Piece::Source(value),
                        Piece::Text(" }".into()),
                    ];
                    self.wraps.push(Wrap {
                        range,
                        pieces,
                        ids: vec![id],
                    });
                }
            }
        }
        visit::visit_expr_struct(self, node);
    }
}
