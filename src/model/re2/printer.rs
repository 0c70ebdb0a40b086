//! Tree to text. The printer of regex-syntax does not group what is repeated, so that `(?:a*)?` becomes `a*?`, which is
//! another operator. It is asked for what has no parts.

use std::fmt::{self, Write};

use regex_syntax::hir::{self, Hir, HirKind, Visitor};

#[derive(Default)]
pub(super) struct Printer {
    text: String,
}

impl Visitor for Printer {
    type Output = String;
    type Err = fmt::Error;

    fn finish(self) -> Result<String, fmt::Error> {
        Ok(self.text)
    }

    fn visit_pre(&mut self, tree: &Hir) -> fmt::Result {
        match tree.kind() {
            HirKind::Capture(hir::Capture { name: Some(name), .. }) => write!(self.text, "(?P<{name}>"),
            HirKind::Capture(_) => self.text.write_char('('),
            HirKind::Repetition(_) | HirKind::Concat(_) | HirKind::Alternation(_) => self.text.write_str("(?:"),
            _ => hir::print::Printer::new().print(tree, &mut self.text),
        }
    }

    fn visit_alternation_in(&mut self) -> fmt::Result {
        self.text.write_char('|')
    }

    fn visit_post(&mut self, tree: &Hir) -> fmt::Result {
        match tree.kind() {
            HirKind::Repetition(repetition) => {
                match (repetition.min, repetition.max) {
                    (min, None) => write!(self.text, "){{{min},}}")?,
                    (min, Some(max)) => write!(self.text, "){{{min},{max}}}")?,
                }
                if repetition.greedy { Ok(()) } else { self.text.write_char('?') }
            }
            HirKind::Capture(_) | HirKind::Concat(_) | HirKind::Alternation(_) => self.text.write_char(')'),
            _ => Ok(()),
        }
    }
}
