//! An Aho–Corasick automaton that finds, for each position of a text, the longest pattern that ends there.
//!
//! Where patterns nest, that one match covers all others with the same end, so a state keeps one length and no
//! list of patterns: memory and building time are linear in the bytes of the patterns, and searching is linear in the
//! text, whatever the patterns are. (General libraries keep every pattern that ends in a state, which nested patterns
//! make quadratic.)

/// The state before anything was read.
pub(super) const ROOT: u32 = 0;

/// States are numbered breadth first, so the children of a state are neighbours, sorted by their byte.
pub(super) struct Automaton {
    /// The byte that leads to each state.
    byte: Vec<u8>,
    /// The first child of each state; its children end where those of the next state begin.
    children: Vec<u32>,
    /// The state of the longest proper suffix.
    fail: Vec<u32>,
    /// The length of the longest pattern that ends in each state; 0: none does.
    longest: Vec<u32>,
    /// The children of the root by byte, 0 where there is none.
    first: Box<[u32; 256]>,
}

impl Automaton {
    /// Takes the patterns sorted, without empty ones and doubles.
    pub(super) fn new(patterns: &[&[u8]]) -> Self {
        let bytes: usize = patterns.iter().map(|pattern| pattern.len()).sum();
        let mut this = Self {
            byte: Vec::with_capacity(bytes + 1),
            children: Vec::with_capacity(bytes + 2),
            fail: Vec::with_capacity(bytes + 1),
            longest: Vec::with_capacity(bytes + 1),
            first: Box::new([ROOT; 256]),
        };
        this.push(0, ROOT, 0);
        // The states of one depth, in their order, each with the patterns that pass through it.
        let mut level = vec![(ROOT, 0..patterns.len())];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for (state, mut passing) in level {
                this.children.push(this.len());
                // Sorted, so the pattern that ends here is the first.
                if patterns.get(passing.start).is_some_and(|pattern| pattern.len() == depth) {
                    passing.start += 1;
                }
                while let Some(byte) = patterns[passing.clone()].first().and_then(|pattern| pattern.get(depth)) {
                    let same = patterns[passing.clone()].partition_point(|pattern| pattern.get(depth) <= Some(byte));
                    let group = passing.start..passing.start + same;
                    let ends = patterns[group.start].len() == depth + 1;
                    let child = this.add(state, *byte, if ends { depth + 1 } else { 0 });
                    passing.start = group.end;
                    next.push((child, group));
                }
            }
            level = next;
            depth += 1;
        }
        this.children.push(this.len());
        this.byte.shrink_to_fit();
        this.children.shrink_to_fit();
        this.fail.shrink_to_fit();
        this.longest.shrink_to_fit();
        this
    }

    /// What it holds, in bytes.
    pub(super) fn memory_usage(&self) -> usize {
        self.byte.capacity()
            + (self.children.capacity() + self.fail.capacity() + self.longest.capacity() + self.first.len())
                * size_of::<u32>()
    }

    /// The state after `byte`.
    #[inline]
    pub(super) fn next(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            if state == ROOT {
                return self.first[usize::from(byte)];
            }
            if let Some(child) = self.child(state, byte) {
                return child;
            }
            state = self.fail[state as usize];
        }
    }

    /// The length of the longest pattern that ends in the state; 0: none does.
    #[inline]
    pub(super) fn longest(&self, state: u32) -> usize {
        self.longest[state as usize] as usize
    }

    fn len(&self) -> u32 {
        // Patterns are bounded far below 4 GiB.
        u32::try_from(self.byte.len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, byte: u8, fail: u32, longest: u32) {
        self.byte.push(byte);
        self.fail.push(fail);
        self.longest.push(longest);
    }

    /// Adds a child of `parent`; all shallower states are there, and their children.
    fn add(&mut self, parent: u32, byte: u8, length: usize) -> u32 {
        let child = self.len();
        let fail = if parent == ROOT { ROOT } else { self.next(self.fail[parent as usize], byte) };
        let longest = u32::try_from(length).unwrap_or(u32::MAX).max(self.longest[fail as usize]);
        self.push(byte, fail, longest);
        if parent == ROOT {
            self.first[usize::from(byte)] = child;
        }
        child
    }

    #[inline]
    fn child(&self, state: u32, byte: u8) -> Option<u32> {
        let (from, to) = (self.children[state as usize], self.children[state as usize + 1]);
        let place = self.byte[from as usize..to as usize].binary_search(&byte).ok()?;
        Some(from + u32::try_from(place).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn automaton(patterns: &[&str]) -> Automaton {
        let mut patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        patterns.sort_unstable();
        patterns.dedup();
        Automaton::new(&patterns)
    }

    fn found(automaton: &Automaton, text: &str) -> Vec<usize> {
        let mut state = ROOT;
        let step = |byte| {
            state = automaton.next(state, byte);
            automaton.longest(state)
        };
        text.bytes().map(step).collect()
    }

    proptest! {
        #[test]
        fn the_longest_pattern_that_ends_at_each_position_is_found(
            patterns in proptest::collection::vec("[ab]{1,6}|[a-d]{1,3}", 1..12),
            text in "[a-d]{0,40}",
        ) {
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let expected: Vec<usize> = (1..=text.len())
                .map(|end| patterns.iter().filter(|pattern| text[..end].ends_with(*pattern)).map(|pattern| pattern.len()).max().unwrap_or(0))
                .collect();
            prop_assert_eq!(found(&automaton(&patterns), &text), expected);
        }
    }

    #[test]
    fn memory_is_linear_in_the_patterns() {
        let patterns: Vec<String> = (8..400).map(|length| "a".repeat(length)).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        assert!(automaton(&patterns).memory_usage() < 16 * 1024);
    }
}
