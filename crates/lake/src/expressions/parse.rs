//! Reading the text of an expression: bounds, the portable subset as far as syntax tells, and the names in it.

use crate::limits::{MAX_EXPRESSION_BYTES, MAX_EXPRESSION_DEPTH, MAX_LISTED_COLUMNS, MAX_TYPE_DEPTH};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArguments, Ident, Query, Value, Visit, VisitMut, Visitor,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::ops::ControlFlow;

/// Levels of parentheses and prefix operators that the parser goes down.
const PARSER_DEPTH: usize = 50;

/// One expression, with nothing before or behind it.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    if text.len() > MAX_EXPRESSION_BYTES {
        return Err(format!("the expression is longer than {MAX_EXPRESSION_BYTES} bytes; split it in derived columns"));
    }
    if text.trim().is_empty() {
        return Err("the expression is empty".to_owned());
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize().map_err(|error| lower(&error.to_string()))?;
    if brackets(&tokens) > MAX_TYPE_DEPTH {
        // A type of so many levels (`INT[][]…`) is read without end, and then gone down by whoever looks at it.
        return Err(format!(
            "more than {MAX_TYPE_DEPTH} brackets follow one another; there are no lists of that depth"
        ));
    }
    let mut parser = Parser::new(&dialect).with_recursion_limit(PARSER_DEPTH).with_tokens(tokens);
    let expression = parser.parse_expr().map_err(|error| reason(&error))?;
    let rest = parser.peek_token().token;
    if rest != Token::EOF {
        return Err(format!("`{rest}` follows where the expression should end"));
    }
    match Visit::visit(&expression, &mut Rules::default()) {
        ControlFlow::Break(reason) => Err(reason),
        ControlFlow::Continue(()) => Ok(expression),
    }
}

/// Most square brackets that open right behind the one before: `a[1][2]` has two.
fn brackets(tokens: &[Token]) -> usize {
    let (mut run, mut most, mut closed) = (0, 0, false);
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        if *token == Token::LBracket {
            run = if closed { run + 1 } else { 1 };
            most = most.max(run);
        }
        closed = *token == Token::RBracket;
    }
    most
}

/// The names in an expression, dotted where compound, in the order of first sight.
pub(super) fn references(expression: &Expr) -> Vec<String> {
    let mut names = Names::default();
    let _ = Visit::visit(expression, &mut names);
    names.found
}

/// Turns every name into one quoted identifier, so that nobody takes it apart or changes its case again.
pub(super) fn quote_names(expression: &mut Expr, known: &[&str]) -> Result<(), String> {
    match VisitMut::visit(expression, &mut Quoting { known }) {
        ControlFlow::Break(reason) => Err(reason),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// What syntax alone shows to be outside the subset.
#[derive(Default)]
struct Rules {
    depth: usize,
}

impl Visitor for Rules {
    type Break = String;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<String> {
        ControlFlow::Break("an expression is over one row: subqueries are not allowed".to_owned())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<String> {
        self.depth += 1;
        if self.depth > MAX_EXPRESSION_DEPTH {
            let rule = format!("the expression is more than {MAX_EXPRESSION_DEPTH} levels deep");
            return ControlFlow::Break(format!("{rule}; split it in derived columns"));
        }
        match refusal(expression) {
            Some(reason) => ControlFlow::Break(reason),
            None => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<String> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

fn refusal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            Some("an expression is over one row: subqueries are not allowed".to_owned())
        }
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
            Some(format!("`{}` is a placeholder; write the value itself", value.value))
        }
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => Some("`*` names no column; name one".to_owned()),
        Expr::Lambda(_) => Some("lambdas are not allowed; use plain functions".to_owned()),
        Expr::CompoundFieldAccess { access_chain, .. }
            if access_chain.iter().any(|access| matches!(access, AccessExpr::Dot(_))) =>
        {
            Some("there are no structs to take fields from".to_owned())
        }
        Expr::Function(function) => function_refusal(function),
        _ => None,
    }
}

fn function_refusal(function: &Function) -> Option<String> {
    let name = &function.name;
    if function.over.is_some() {
        return Some(format!("`{name}` with OVER is over many rows; an expression is over one"));
    }
    let aggregate = function.filter.is_some()
        || function.null_treatment.is_some()
        || !function.within_group.is_empty()
        || !matches!(function.parameters, FunctionArguments::None);
    let odd_arguments = match &function.args {
        FunctionArguments::List(list) => {
            list.duplicate_treatment.is_some()
                || !list.clauses.is_empty()
                || list.args.iter().any(|argument| !matches!(argument, FunctionArg::Unnamed(_)))
        }
        FunctionArguments::None => false,
        FunctionArguments::Subquery(_) => true,
    };
    (aggregate || odd_arguments).then(|| format!("`{name}` takes plain arguments only, such as `{name}(a, b)`"))
}

#[derive(Default)]
struct Names {
    found: Vec<String>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Some(name) = name_of(expression)
            && !self.found.contains(&name)
        {
            self.found.push(name);
        }
        ControlFlow::Continue(())
    }
}

struct Quoting<'a> {
    known: &'a [&'a str],
}

impl VisitorMut for Quoting<'_> {
    type Break = String;

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<String> {
        let Some(name) = name_of(expression) else { return ControlFlow::Continue(()) };
        if !self.known.contains(&name.as_str()) {
            return ControlFlow::Break(unknown(&name, self.known));
        }
        *expression = Expr::Identifier(Ident::with_quote('"', name));
        ControlFlow::Continue(())
    }
}

fn name_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => {
            Some(parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join("."))
        }
        _ => None,
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let mut listed = known.iter().take(MAX_LISTED_COLUMNS).copied().collect::<Vec<_>>().join(", ");
    if known.len() > MAX_LISTED_COLUMNS {
        listed.push_str(", …");
    }
    if listed.is_empty() {
        return format!("there is no column `{name}`; there are no columns here");
    }
    format!("there is no column `{name}`; columns are {listed}")
}

fn reason(error: &ParserError) -> String {
    match error {
        ParserError::TokenizerError(reason) | ParserError::ParserError(reason) => lower(reason),
        ParserError::RecursionLimitExceeded => {
            format!("the expression is more than {PARSER_DEPTH} parentheses deep; split it in derived columns")
        }
    }
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
