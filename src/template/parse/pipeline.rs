//! Pipelines: `$x := command | command`, with operands that may be pipelines in parentheses.

use super::super::functions;
use super::super::limits::{MAX_NESTED, MAX_VARIABLES};
use super::super::number::Number;
use super::super::quote::quote;
use super::super::token::{Keyword, Kind, Token};
use super::super::tree::{Command, Operand, Pipe, Term};
use super::{Parsed, Parser};

impl Parser<'_> {
    /// Variables with `:=` or `=`, and commands up to `end`.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let at = self.peek_token().at;
        let mut pipe = Pipe { at, variables: vec![], is_assignment: false, commands: vec![] };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_token();
            match token.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen
                | Kind::Keyword(Keyword::Dot | Keyword::Nil) => {
                    self.next -= 1;
                    pipe.commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_token().kind == Kind::Variable {
            let variable = self.next_token();
            let behind = self.next;
            let sign = self.next_token();
            match sign.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.is_assignment = sign.kind == Kind::Assign;
                    return self.declare(pipe, &variable);
                }
                Kind::Char if sign.text == "," => {
                    self.declare(pipe, &variable)?;
                    if context != "range" || pipe.variables.len() > 1 {
                        return Err(self.error(format!("too many declarations in {context}")));
                    }
                    match self.peek_token().kind {
                        Kind::Variable | Kind::RightDelimiter | Kind::RightParen => {}
                        _ => return Err(self.error("range can only initialize variables")),
                    }
                }
                // It is an operand.
                _ => {
                    self.next = behind - 1;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn declare(&mut self, pipe: &mut Pipe, variable: &Token<'_>) -> Parsed<()> {
        if self.scope.variables.len() >= MAX_VARIABLES {
            return Err(self.error(format!("more than {MAX_VARIABLES} variables")));
        }
        pipe.variables.push(variable.text.to_string());
        self.scope.variables.push(variable.text.to_string());
        Ok(())
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (nth, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.operands.first().map(|operand| &operand.term);
            if let Some(Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::String { .. }) = first {
                return Err(self.error(format!("non executable command in pipeline stage {}", nth + 1)));
            }
        }
        Ok(())
    }

    /// Operands with space between them, and the `|` behind them.
    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { at: self.peek_token().at, operands: vec![] };
        loop {
            self.peek_token();
            command.operands.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        match command.operands.is_empty() {
            true => Err(self.error("empty command")),
            false => Ok(command),
        }
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let at = self.peek().at;
        let mut fields = vec![];
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].to_string());
        }
        let term = match operand.term {
            Term::Field(mut all) => {
                all.append(&mut fields);
                Term::Field(all)
            }
            Term::Variable(name, mut all) => {
                all.append(&mut fields);
                Term::Variable(name, all)
            }
            Term::Chain(..) | Term::Function(_) | Term::Pipe(_) => Term::Chain(Box::new(operand), fields),
            _ => {
                let term = quote(operand.to_string().as_bytes());
                return Err(self.error(format!("unexpected . after term {term}")));
            }
        };
        Ok(Some(Operand { at, term }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_token();
        let text = &token.text;
        let term = match token.kind {
            Kind::Identifier => {
                let function = functions::find(text);
                let undefined = || self.error(format!("function {} not defined", quote(text.as_bytes())));
                Term::Function(function.ok_or_else(undefined)?)
            }
            Kind::Keyword(Keyword::Dot) => Term::Dot,
            Kind::Keyword(Keyword::Nil) => Term::Nil,
            Kind::Variable => {
                if !self.scope.variables.iter().any(|variable| variable == text) {
                    return Err(self.error(format!("undefined variable {}", quote(text.as_bytes()))));
                }
                Term::Variable(text.to_string(), vec![])
            }
            Kind::Field => Term::Field(vec![text[1..].to_string()]),
            Kind::Bool => Term::Bool(text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                Term::Number(Number::parse(text, token.kind).map_err(|message| self.error(message))?)
            }
            Kind::LeftParen => {
                if self.nested >= MAX_NESTED {
                    return Err(self.error("max expression depth exceeded"));
                }
                self.nested += 1;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.nested -= 1;
                Term::Pipe(pipe)
            }
            Kind::String | Kind::RawString => {
                Term::String { literal: text.to_string(), text: self.unquoted(&token)? }
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        // A pipeline in parentheses is where its first word is.
        let at = if let Term::Pipe(pipe) = &term { pipe.at } else { token.at };
        Ok(Some(Operand { at, term }))
    }
}
