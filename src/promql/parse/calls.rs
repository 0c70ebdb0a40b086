//! Aggregations, function calls and label lists.

use super::error::{Parsed, problem};
use super::token::{Keyword, Kind, Token};
use super::{Node, Parser, span};
use crate::promql::ast::{Aggregate, Call, Expr};
use crate::promql::functions;
use crate::promql::operators::AggregateOp;
use crate::promql::span::Span;
use crate::promql::strings::{is_label_name, quote};

/// `by (...)` or `without (...)`.
struct Grouping {
    without: bool,
    labels: Vec<String>,
}

impl Parser<'_> {
    /// An aggregation whose operator is taken; the grouping may stand on either side of the arguments.
    pub(super) fn aggregate(&mut self, op: AggregateOp, op_token: Token) -> Parsed<Node> {
        let (grouping, args) = self.within("aggregation", "", |p| {
            let before = p.grouping()?;
            Ok((before, p.arguments()?))
        })?;
        let grouping = match grouping {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        let grouping = grouping.unwrap_or(Grouping { without: false, labels: Vec::new() });
        self.build_aggregate(op, Span::new(op_token.start, self.previous_end()), grouping, args)
    }

    fn build_aggregate(&self, op: AggregateOp, span: Span, by: Grouping, args: Vec<Node>) -> Parsed<Node> {
        if args.is_empty() {
            return Err(problem(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let flag = "--enable-feature=promql-experimental-functions";
            let message = format!("{}() is experimental and must be enabled with {flag}", op.as_str());
            return Err(problem(span, message));
        }
        let expected = if op.has_param() { 2 } else { 1 };
        let (got, height) = (args.len(), tallest(&args) + 1);
        let mut args = args.into_iter().map(|node| node.expr);
        let (Some(last), true) = (args.next_back(), got == expected) else {
            let message = "wrong number of arguments for aggregate expression provided";
            return Err(problem(span, format!("{message}, expected {expected}, got {got}")));
        };
        let param = args.next();
        let aggregate = Aggregate { op, inner: last, param, without: by.without, labels: by.labels, span };
        self.node(Expr::Aggregate(Box::new(aggregate)), height)
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let Kind::Keyword(keyword @ (Keyword::By | Keyword::Without)) = self.peek() else {
            return Ok(None);
        };
        self.advance();
        Ok(Some(Grouping { without: keyword == Keyword::Without, labels: self.grouping_labels()? }))
    }

    /// `(label, "other label", ...)`; keywords are labels here.
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        const PLACE: &str = "grouping opts";
        self.within(PLACE, "\"(\"", |p| p.expect(Kind::LeftParen))?;
        let mut labels = Vec::new();
        loop {
            if self.accept(Kind::RightParen) {
                return Ok(labels);
            }
            labels.push(self.within(PLACE, "label", Self::grouping_label)?);
            if self.accept(Kind::RightParen) {
                return Ok(labels);
            }
            self.within(PLACE, "\",\" or \")\"", |p| p.expect(Kind::Comma))?;
        }
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.token();
        let label = match token.kind {
            Kind::String => {
                self.advance();
                self.unquoted(token)?
            }
            kind if kind.is_grouping_label() => {
                self.advance();
                self.text(token).to_string()
            }
            _ => return Err(self.unexpected()),
        };
        if !is_label_name(&label) {
            return Err(problem(span(token), format!("invalid label name for grouping: {}", quote(&label))));
        }
        Ok(label)
    }

    /// A call whose name is taken.
    pub(super) fn call(&mut self, name_token: Token) -> Parsed<Node> {
        let args = self.arguments()?;
        let name = self.text(name_token);
        let Some(function) = functions::get(name) else {
            return Err(problem(span(name_token), format!("unknown function with name {}", quote(name))));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(problem(span(name_token), format!("function {} is not enabled", quote(name))));
        }
        let height = tallest(&args) + 1;
        let args = args.into_iter().map(|node| node.expr).collect();
        let whole = Span::new(name_token.start, self.previous_end());
        self.node(Expr::Call(Box::new(Call { function, args, span: whole })), height)
    }

    /// `(a, b, ...)`
    fn arguments(&mut self) -> Parsed<Vec<Node>> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        if self.accept(Kind::RightParen) {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if self.accept(Kind::RightParen) {
                return Ok(args);
            }
            let comma = self.expect(Kind::Comma)?;
            if matches!(self.peek(), Kind::RightParen | Kind::Comma) {
                return Err(problem(span(comma), "trailing commas not allowed in function call args"));
            }
        }
    }
}

fn tallest(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| node.height).max().unwrap_or(0)
}
