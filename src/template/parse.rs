//! Tokens to trees, by the grammar and with the messages of Go's `text/template/parse`.
//!
//! Names of functions and variables are checked here, types at execution. The first mistake ends it.

use super::characters::to_text;
use super::lex::lex;
use super::limits::MAX_NESTED;
use super::quote::{quote, unquote};
use super::token::{Keyword, Kind, Token};
use super::tree::{Action, Branch, Call, List, Node, Text, Tree, Trees};

/// Pipelines and what they consist of.
mod pipeline;

/// The templates of `text`, of which the one called `name` is the text itself.
pub(super) fn parse(name: &str, text: &str) -> Result<Trees, String> {
    let scope = Scope::new();
    let mut parser =
        Parser { name, tokens: lex(text), next: 0, furthest: 0, nested: 0, scope, trees: Trees::new() };
    let root = parser.template()?;
    parser.add(name.to_string(), root)?;
    Ok(parser.trees)
}

struct Parser<'t> {
    name: &'t str,
    /// At least the last one, which is an error or the end.
    tokens: Vec<Token<'t>>,
    next: usize,
    /// Behind all tokens that were looked at.
    furthest: usize,
    /// Actions and parentheses within each other.
    nested: usize,
    scope: Scope,
    trees: Trees,
}

/// What is known while one template is read; those that are defined within it have their own.
struct Scope {
    /// Of the last token that was looked at for it: the line that messages name.
    line: usize,
    /// Where the action began, while one is read.
    action_line: Option<usize>,
    variables: Vec<String>,
    ranges: usize,
}

impl Scope {
    fn new() -> Self {
        Self { line: 0, action_line: None, variables: vec!["$".to_string()], ranges: 0 }
    }
}

type Parsed<T> = Result<T, String>;

/// What stands in a list, or ends it.
enum Item {
    Node(Node),
    End,
    Else,
}

impl Item {
    fn as_str(&self) -> &'static str {
        match self {
            Item::Node(_) => "node",
            Item::End => "{{end}}",
            Item::Else => "{{else}}",
        }
    }
}

/// Kinds of branches, by the word that begins them.
type Make = fn(Branch) -> Node;

impl<'t> Parser<'t> {
    /// All of the text, with the definitions that stand in it.
    fn template(&mut self) -> Parsed<List> {
        let mut list = List::default();
        loop {
            match self.peek().kind {
                Kind::End => return Ok(list),
                Kind::LeftDelimiter => {
                    let before = self.next;
                    self.next();
                    if self.next_token().kind == Kind::Keyword(Keyword::Define) {
                        self.definition()?;
                        continue;
                    }
                    self.next = before;
                }
                _ => {}
            }
            match self.item()? {
                Item::Node(node) => list.0.push(node),
                end => return Err(self.error(format!("unexpected {}", end.as_str()))),
            }
        }
    }

    /// What follows `{{define`.
    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let token = self.next_token();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelimiter, CONTEXT)?;
        let (list, end) = self.list()?;
        if !matches!(end, Item::End) {
            return Err(self.error(format!("unexpected {} in {CONTEXT}", end.as_str())));
        }
        self.add(name, list)?;
        self.scope = outer;
        Ok(())
    }

    /// A template that is empty neither replaces another one nor stands in its way.
    fn add(&mut self, name: String, root: List) -> Parsed<()> {
        match self.trees.get(&name) {
            Some(tree) if !tree.root.is_empty() => {
                if !root.is_empty() {
                    let name = quote(name.as_bytes());
                    return Err(self.error(format!("template: multiple definition of template {name}")));
                }
            }
            _ => drop(self.trees.insert(name.clone(), Tree { name, root })),
        }
        Ok(())
    }

    /// Up to an `{{end}}` or `{{else}}`, which is the other part of the result.
    fn list(&mut self) -> Parsed<(List, Item)> {
        let mut list = List::default();
        while self.peek_token().kind != Kind::End {
            match self.item()? {
                Item::Node(node) => list.0.push(node),
                end => return Ok((list, end)),
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn item(&mut self) -> Parsed<Item> {
        let token = self.next_token();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(Text { at: token.at, text: token.text.into_owned() }))),
            Kind::LeftDelimiter => {
                self.scope.action_line = Some(token.line);
                let item = self.action()?;
                self.scope.action_line = None;
                Ok(item)
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    /// What follows `{{`.
    fn action(&mut self) -> Parsed<Item> {
        let token = self.next_token();
        let Kind::Keyword(keyword) = token.kind else {
            self.next -= 1;
            return self.pipeline_action();
        };
        Ok(Item::Node(match keyword {
            Keyword::Block => self.block()?,
            Keyword::Break => self.leave("{{break}}", Node::Break)?,
            Keyword::Continue => self.leave("{{continue}}", Node::Continue)?,
            Keyword::Else => return self.otherwise(),
            Keyword::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Item::End);
            }
            Keyword::If => self.branch("if", Node::If)?,
            Keyword::Range => self.branch("range", Node::Range)?,
            Keyword::Template => self.template_call()?,
            Keyword::With => self.branch("with", Node::With)?,
            Keyword::Define | Keyword::Dot | Keyword::Nil => {
                self.next -= 1;
                return self.pipeline_action();
            }
        }))
    }

    fn pipeline_action(&mut self) -> Parsed<Item> {
        let at = self.peek().at;
        let pipe = self.pipeline("command", Kind::RightDelimiter)?;
        Ok(Item::Node(Node::Action(Action { at, pipe })))
    }

    fn leave(&mut self, action: &str, node: Node) -> Parsed<Node> {
        self.expect(Kind::RightDelimiter, action)?;
        match self.scope.ranges {
            0 => Err(self.error(format!("{action} outside {{{{range}}}}"))),
            _ => Ok(node),
        }
    }

    /// Of `{{else if` and `{{else with` the second word is left to who looks for it.
    fn otherwise(&mut self) -> Parsed<Item> {
        if !matches!(self.peek_token().kind, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Item::Else)
    }

    fn branch(&mut self, context: &str, make: Make) -> Parsed<Node> {
        self.enter()?;
        let variables = self.scope.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        let ranges = self.scope.ranges;
        self.scope.ranges += usize::from(context == "range");
        let (list, end) = self.list()?;
        self.scope.ranges = ranges;
        let otherwise = match end {
            Item::Else => Some(self.else_list(context)?),
            _ => None,
        };
        self.scope.variables.truncate(variables);
        self.nested -= 1;
        Ok(make(Branch { pipe, list, otherwise }))
    }

    /// `{{if a}}_{{else if b}}_{{end}}` is read as `{{if a}}_{{else}}{{if b}}_{{end}}{{end}}`, and `with` likewise.
    fn else_list(&mut self, context: &str) -> Parsed<List> {
        let branch: Option<(&str, Make)> = match (context, self.peek().kind) {
            ("if", Kind::Keyword(Keyword::If)) => Some(("if", Node::If)),
            ("with", Kind::Keyword(Keyword::With)) => Some(("with", Node::With)),
            _ => None,
        };
        if let Some((context, make)) = branch {
            self.next();
            return Ok(List(vec![self.branch(context, make)?]));
        }
        match self.list()? {
            (list, Item::End) => Ok(list),
            (_, end) => Err(self.error(format!("expected end; found {}", end.as_str()))),
        }
    }

    /// A template is defined and used at the same place.
    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        self.enter()?;
        let token = self.next_token();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let (list, end) = self.list()?;
        let inner = std::mem::replace(&mut self.scope, outer);
        if !matches!(end, Item::End) {
            return Err(self.error(format!("unexpected {} in {CONTEXT}", end.as_str())));
        }
        let outer = std::mem::replace(&mut self.scope, inner);
        self.add(name.clone(), list)?;
        self.scope = outer;
        self.nested -= 1;
        Ok(Node::Template(Call { at: token.at, name, pipe: Some(pipe) }))
    }

    fn template_call(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_token();
        let name = self.template_name(&token, CONTEXT)?;
        let mut pipe = None;
        if self.next_token().kind != Kind::RightDelimiter {
            self.next -= 1;
            pipe = Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?);
        }
        Ok(Node::Template(Call { at: token.at, name, pipe }))
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Parsed<String> {
        match token.kind {
            Kind::String | Kind::RawString => Ok(to_text(&self.unquoted(token)?)),
            _ => Err(self.unexpected(token, context)),
        }
    }

    fn unquoted(&self, token: &Token<'_>) -> Parsed<Vec<u8>> {
        unquote(&token.text).ok_or_else(|| self.error("invalid syntax"))
    }

    /// Go goes on with its stack for much longer.
    fn enter(&mut self) -> Parsed<()> {
        self.nested += 1;
        match self.nested > MAX_NESTED {
            true => Err(self.error(format!("more than {MAX_NESTED} actions within each other"))),
            false => Ok(()),
        }
    }

    fn peek(&mut self) -> &Token<'t> {
        let last = self.tokens.len() - 1;
        let token = &self.tokens[self.next.min(last)];
        if self.next >= self.furthest {
            self.furthest = self.next + 1;
            self.scope.line = token.line;
        }
        token
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    /// The next one that is not space.
    fn next_token(&mut self) -> Token<'t> {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.next()
    }

    fn peek_token(&mut self) -> &Token<'t> {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<()> {
        let token = self.next_token();
        if token.kind == kind { Ok(()) } else { Err(self.unexpected(&token, context)) }
    }

    fn unexpected(&self, token: &Token<'_>, context: &str) -> String {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {token} in {context}"));
        }
        let started = match self.scope.action_line {
            Some(line) if line != token.line => {
                let action = if token.text.ends_with(" action") { "" } else { " in action" };
                format!("{action} started at {}:{line}", self.name)
            }
            _ => String::new(),
        };
        self.error(format!("{token}{started}"))
    }

    fn error(&self, message: impl AsRef<str>) -> String {
        format!("template: {}:{}: {}", self.name, self.scope.line, message.as_ref())
    }
}
