//! A seccomp filter from a table: for each system call what is decided, and the program that decides it.
//!
//! The calls are found by a binary search, so a decision costs a few steps; what needs no look at arguments is decided once and
//! kept by the kernel.

use super::sys::Instruction;

/// What is decided of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Allow,
    /// It fails with this error number.
    Fail(u16),
    /// Allowed if each condition holds; else EPERM.
    If(Vec<Condition>),
    /// `socket` and `socketpair`: allowed if one of these fits; else EAFNOSUPPORT, as on a kernel without the family: programs
    /// know what to do then.
    Sockets(Vec<Socket>),
}

/// A condition on the low 32 bits of an argument (from 0), masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) mask: u32,
    pub(super) values: Vec<u32>,
    /// Whether the values are those that are allowed, or those that are not.
    pub(super) among: bool,
}

/// What sockets may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) family: u32,
    pub(super) types: Vec<u32>,
    /// Empty for every protocol.
    pub(super) protocols: Vec<u32>,
}

impl Condition {
    pub(super) fn among(argument: u8, values: &[u32]) -> Self {
        Self { argument, mask: u32::MAX, values: values.to_vec(), among: true }
    }
    pub(super) fn not(argument: u8, mask: u32, values: &[u32]) -> Self {
        Self { argument, mask, values: values.to_vec(), among: false }
    }
    /// None of these bits.
    pub(super) fn clear(argument: u8, mask: u32) -> Self {
        Self { argument, mask, values: vec![0], among: true }
    }
}

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_FROM: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

#[cfg(target_arch = "x86_64")]
pub(super) const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const ARCH: u32 = 0xc000_00b7;

/// The bits of a socket's type that are flags.
const TYPE_MASK: u32 = 0xf;

fn fail(errno: u16) -> u32 {
    libc::SECCOMP_RET_ERRNO | u32::from(errno)
}
const EPERM: u16 = 1;
const ENOSYS: u16 = 38;
const EAFNOSUPPORT: u16 = 97;

fn op(code: u16, value: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, value }
}
fn branch(code: u16, value: u32, jump_true: usize, jump_false: usize) -> Instruction {
    // A rule has far fewer instructions than the 255 over which a branch reaches; a test holds it to that.
    let reach = |jump: usize| u8::try_from(jump).unwrap_or(u8::MAX);
    Instruction { code, jump_true: reach(jump_true), jump_false: reach(jump_false), value }
}
fn argument(index: u8) -> Instruction {
    // The low half: both architectures have it first.
    op(LOAD, ARGUMENTS_AT + 8 * u32::from(index))
}

/// The filter. `rules` are in the order of their numbers. Calls that are not among them fail with EPERM; those behind `last`, which
/// are newer than the table, with ENOSYS, as on a kernel that does not have them. A call in another architecture's convention ends
/// the process.
pub(super) fn assemble(rules: &[(u32, Rule)], last: u32) -> Vec<Instruction> {
    // It is made for each run: one buffer, nothing copied.
    let mut program = Vec::with_capacity(1024);
    program.push(op(LOAD, ARCH_AT));
    program.push(branch(JUMP_EQUAL, ARCH, 1, 0));
    program.push(op(RETURN, KILL));
    program.push(op(LOAD, NUMBER_AT));
    search(&segments(rules, last), &mut program);
    program
}

/// Runs of numbers with the same rule, by their first number.
fn segments(rules: &[(u32, Rule)], last: u32) -> Vec<(u32, &Rule)> {
    const REFUSED: &Rule = &Rule::Fail(EPERM);
    const UNKNOWN: &Rule = &Rule::Fail(ENOSYS);
    let mut found: Vec<(u32, &Rule)> = Vec::with_capacity(2 * rules.len() + 2);
    let mut add = |from: u32, rule| {
        if found.last().is_none_or(|(_, before)| *before != rule) {
            found.push((from, rule));
        }
    };
    let mut next = 0;
    for (number, rule) in rules {
        if *number > next {
            add(next, REFUSED);
        }
        add(*number, rule);
        next = number + 1;
    }
    if next <= last {
        add(next, REFUSED);
    }
    // Among them the numbers of x32, which have bit 30.
    add(last + 1, UNKNOWN);
    found
}

/// A search tree over the segments; each branch ends with a return.
fn search(segments: &[(u32, &Rule)], program: &mut Vec<Instruction>) {
    if let [(_, rule)] = segments {
        return program.extend(decide(rule));
    }
    let (low, high) = segments.split_at(segments.len() / 2);
    let at = program.len();
    program.push(branch(JUMP_FROM, high[0].0, 0, 0));
    search(low, program);
    // The kernel compiles the filter for each run: what needs no jump of its own has none.
    if let Ok(reach) = u8::try_from(program.len() - at - 1) {
        program[at].jump_true = reach;
    } else {
        // A jump reaches further than a branch. Those within the lower half are relative, and stay as they are.
        let length = u32::try_from(program.len() - at - 1).unwrap_or(u32::MAX);
        program[at].jump_false = 1;
        program.insert(at + 1, op(JUMP, length));
    }
    search(high, program);
}

fn decide(rule: &Rule) -> Vec<Instruction> {
    match rule {
        Rule::Allow => vec![op(RETURN, ALLOW)],
        Rule::Fail(errno) => vec![op(RETURN, fail(*errno))],
        Rule::If(conditions) => {
            let mut program: Vec<Instruction> = conditions.iter().flat_map(condition).collect();
            program.push(op(RETURN, ALLOW));
            program
        }
        Rule::Sockets(sockets) => {
            let mut program = vec![argument(0)];
            for socket in sockets {
                let mut body = one_of(&Condition {
                    argument: 1,
                    mask: TYPE_MASK,
                    values: socket.types.clone(),
                    among: true,
                });
                if !socket.protocols.is_empty() {
                    body.extend(one_of(&Condition::among(2, &socket.protocols)));
                }
                body.push(op(RETURN, ALLOW));
                program.push(branch(JUMP_EQUAL, socket.family, 0, body.len()));
                program.extend(body);
            }
            program.push(op(RETURN, fail(EAFNOSUPPORT)));
            program
        }
    }
}

fn condition(condition: &Condition) -> Vec<Instruction> {
    if condition.among {
        return one_of(condition);
    }
    let mut program = load(condition);
    let count = condition.values.len();
    for (index, value) in condition.values.iter().enumerate() {
        // To the failure behind the last comparison, or on.
        let last = index + 1 == count;
        program.push(branch(JUMP_EQUAL, *value, count - index - 1, usize::from(last)));
    }
    program.push(op(RETURN, fail(EPERM)));
    program
}

/// Falls through when the argument has one of the values; else returns EPERM.
fn one_of(condition: &Condition) -> Vec<Instruction> {
    let mut program = load(condition);
    let count = condition.values.len();
    for (index, value) in condition.values.iter().enumerate() {
        program.push(branch(JUMP_EQUAL, *value, count - index, 0));
    }
    program.push(op(RETURN, fail(EPERM)));
    program
}

fn load(condition: &Condition) -> Vec<Instruction> {
    let mut program = vec![argument(condition.argument)];
    if condition.mask != u32::MAX {
        program.push(op(AND, condition.mask));
    }
    program
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The kernel's machine, as far as these programs use it.
    pub(in crate::sandbox) fn run(
        program: &[Instruction],
        arch: u32,
        number: u32,
        arguments: [u64; 6],
    ) -> u32 {
        let word = |at: u32| match at {
            NUMBER_AT => number,
            ARCH_AT => arch,
            _ => {
                let argument = arguments[usize::try_from((at - ARGUMENTS_AT) / 8).unwrap()];
                u32::try_from(argument & 0xffff_ffff).unwrap()
            }
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let i = program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { i.jump_true } else { i.jump_false });
            match i.code {
                LOAD => accumulator = word(i.value),
                AND => accumulator &= i.value,
                JUMP => at += usize::try_from(i.value).unwrap(),
                JUMP_EQUAL => at += jump(accumulator == i.value),
                JUMP_FROM => at += jump(accumulator >= i.value),
                RETURN => return i.value,
                other => panic!("instruction {other}"),
            }
        }
    }

    fn sample() -> Vec<(u32, Rule)> {
        vec![
            (0, Rule::Allow),
            (1, Rule::Allow),
            (3, Rule::Fail(ENOSYS)),
            (5, Rule::If(vec![Condition::among(0, &[7, 9]), Condition::clear(1, 0xf0)])),
            (6, Rule::If(vec![Condition::not(1, 0xff, &[1, 2, 3])])),
            (
                41,
                Rule::Sockets(vec![
                    Socket { family: 1, types: vec![1, 2], protocols: vec![] },
                    Socket { family: 16, types: vec![3], protocols: vec![0, 4] },
                ]),
            ),
        ]
    }

    #[test]
    fn each_number_has_its_rule() {
        let program = assemble(&sample(), 60);
        let ask = |number, arguments: [u64; 6]| run(&program, ARCH, number, arguments);
        for number in [0, 1] {
            assert_eq!(ask(number, [0; 6]), ALLOW);
        }
        for number in [2, 4, 7, 40, 42, 60] {
            assert_eq!(ask(number, [0; 6]), fail(EPERM), "{number}");
        }
        for number in [3, 61, 1000, 0x4000_0000, 0x4000_0001, u32::MAX] {
            assert_eq!(ask(number, [0; 6]), fail(ENOSYS), "{number}");
        }
        assert_eq!(run(&program, 0x4000_0003, 0, [0; 6]), KILL, "the 32-bit convention");
    }

    #[test]
    fn conditions_look_at_arguments() {
        let program = assemble(&sample(), 60);
        let ask = |number, a: u64, b: u64, c: u64| run(&program, ARCH, number, [a, b, c, 0, 0, 0]) == ALLOW;
        for (a, b, allowed) in
            [(7, 0, true), (9, 0x0f, true), (8, 0, false), (7, 0x10, false), (7, 0x80, false)]
        {
            assert_eq!(ask(5, a, b, 0), allowed, "{a} {b:x}");
        }
        for (b, allowed) in [(0, true), (1, false), (2, false), (3, false), (4, true), (0x102, false)] {
            assert_eq!(ask(6, 0, b, 0), allowed, "{b:x}");
        }
        for (family, ty, protocol, allowed) in [
            (1, 1, 99, true),
            (1, 0x80002, 0, true),
            (1, 3, 0, false),
            (16, 3, 4, true),
            (16, 0x80803, 0, true),
            (16, 3, 9, false),
            (16, 2, 0, false),
            (2, 1, 0, false),
            (17, 3, 0, false),
        ] {
            assert_eq!(ask(41, family, ty, protocol), allowed, "{family} {ty:x} {protocol}");
        }
        // What the kernel cuts off does not count.
        assert!(ask(5, 0xffff_ffff_0000_0007, 0, 0));
    }
}
