//! What a template may take. Prometheus has no limits but the depth of templates in templates; these are far beyond what
//! rules need, and end what would else take the server's memory or time.

/// Actions and parentheses within each other in a text. Go's limit for parentheses is 10,000.
pub(super) const MAX_NESTED: usize = 100;

/// Variables that are known at a place. They are looked for one by one.
pub(super) const MAX_VARIABLES: usize = 1000;

/// Actions, parentheses and templates within each other while they are executed. Go's limit is 100,000 templates.
pub(super) const MAX_DEPTH: usize = 400;

/// Of a result.
pub(super) const MAX_OUTPUT_BYTES: usize = 1 << 20;

/// Queries of different text.
pub(super) const MAX_QUERIES: usize = 100;

/// Regular expressions of different text, and the memory that one may take.
pub(super) const MAX_EXPRESSIONS: usize = 100;
pub(super) const MAX_EXPRESSION_BYTES: usize = 1 << 20;

/// Maps that hold maps, which `args` makes.
pub(super) const MAX_MAP_DEPTH: usize = 32;

/// Of all executions of an expansion together: nodes looked at, and bytes that functions and the output were given or
/// made.
const MAX_STEPS: usize = 1 << 21;
const MAX_BYTES: usize = 64 << 20;

/// Of texts that functions and methods are given.
pub(super) const BYTES_PER_STEP: usize = 16;

/// What is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    steps: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: MAX_STEPS, bytes: MAX_BYTES }
    }

    pub(super) fn take_step(&mut self) -> Result<(), String> {
        self.take_steps(1)
    }

    pub(super) fn take_steps(&mut self, steps: usize) -> Result<(), String> {
        let left = self.steps.checked_sub(steps);
        self.steps = left.ok_or_else(|| format!("more than {MAX_STEPS} steps"))?;
        Ok(())
    }

    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or_else(|| format!("more than {MAX_BYTES} bytes of text"))?;
        Ok(())
    }
}
