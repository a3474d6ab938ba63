//! Random expressions from the pieces that make large values.

/// A generator that gives the same numbers for the same seed (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap_or(0)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// An expression that binds a large array, a long text, an object and some functions, and then uses them.
/// `size` is the number of items in the array.
pub(crate) fn expression(dice: &mut Dice, size: usize) -> String {
    let array = match dice.roll(4) {
        0 => format!("[1..{size}].{{'i': $, 'j': [1..3]}}"),
        1 => format!("[1..{size}].('k' & $string($))"),
        2 => format!("[[1..{size}], [1..{size}]]"),
        _ => format!("[1..{size}]"),
    };
    let function = any(dice, 3);
    let body = any(dice, 6);
    format!(
        "($b := {array}; $s := $join([1..{size}].('ab')); $o := {{'x': $b, 'y': {{'x': $s}}, 'i': 1}}; $r := /b?a/; \
         $f := function($v, $n) {{ $n > 3 ? {function} : $f({}, $n + 1) }}; {body})",
        any(dice, 2),
    )
}

/// Any expression.
fn any(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 {
        return leaf(dice);
    }
    let depth = depth - 1;
    match dice.roll(11) {
        0 => leaf(dice),
        1 => text(dice, depth),
        2 | 3 => path(dice, depth),
        4 => array(dice, depth),
        5 => object(dice, depth),
        6 | 7 => call(dice, depth),
        8 => each(dice, depth),
        9 => chain(dice, depth),
        _ => operator(dice, depth),
    }
}

fn leaf(dice: &mut Dice) -> String {
    let leaves = [
        "$", "$$", "$b", "$b", "$s", "$o", "$v", "1", "3", "'ab'", "i", "x", "j", "items", "metadata", "*",
        "**", "$r", "event", "null", "true", "0", "$x", "%", "[]", "{}",
    ];
    dice.pick(&leaves).to_owned()
}

fn text(dice: &mut Dice, depth: usize) -> String {
    let text = any(dice, depth);
    match dice.roll(9) {
        0 => format!("({text} & {})", any(dice, depth)),
        1 => format!("$join({text}, {})", any(dice, depth)),
        2 => format!(
            "$replace({text}, {}, {})",
            dice.pick(&["'a'", "/a/", "/b?/", "/(a)(b)/", "$r"]),
            any(dice, depth)
        ),
        3 => format!("$split({text}, {})", dice.pick(&["''", "'b'", "/b/", "/(a)/"])),
        4 => format!("$match({text}, {})", dice.pick(&["/a/", "/(a)(b)*/", "/.*/", "$r"])),
        5 => format!("$pad({text}, {})", dice.pick(&["-100000", "1000000000", "30", "$count($b)"])),
        6 => format!("$string({text}, {})", dice.pick(&["true", "false"])),
        7 => {
            let function = dice.pick(&[
                "base64encode",
                "base64decode",
                "encodeUrl",
                "encodeUrlComponent",
                "decodeUrlComponent",
                "uppercase",
                "lowercase",
                "trim",
                "length",
                "string",
                "number",
            ]);
            format!("${function}({text})")
        }
        _ => {
            let call = dice.pick(&[
                "$formatNumber($count($b), '#,##0.00')",
                "$formatInteger(99999999, 'I')",
                "$formatInteger(1234567, 'w')",
                "$formatBase(255, 2)",
                "$fromMillis(0, '[Y,99999999]')",
                "$fromMillis(0, '[D1o] [MNn] [YI]')",
                "$toMillis('2020', '[Y,9999999-9999999]')",
                "$substring($s, 1, 5)",
                "$substringAfter($s, 'ab')",
                "$r($s)",
                "'ab'.$uppercase()",
                "$contains($s, /a+b/)",
            ]);
            call.to_owned()
        }
    }
}

fn path(dice: &mut Dice, depth: usize) -> String {
    let mut path = match dice.roll(3) {
        0 => format!("({})", any(dice, depth)),
        _ => dice.pick(&["$b", "$o", "$", "$$", "items", "metadata", "$o.x", "$b.j", "**", "*"]).to_owned(),
    };
    for _ in 0..=dice.roll(3) {
        let step = match dice.roll(11) {
            0 | 1 => format!(
                ".{}",
                dice.pick(&["i", "j", "x", "y", "items", "sku", "$b", "$o", "$", "$$", "*", "**", "%"])
            ),
            2 => format!(".({})", any(dice, depth)),
            3 => format!(".[{}]", any(dice, depth)),
            4 => format!(".{{'p': {}, 'q': {}}}", any(dice, depth), any(dice, depth)),
            5 => format!("[{}]", any(dice, depth)),
            6 => format!("[{}]", dice.pick(&["0", "-1", "[0,0,0,0]", "i > 1", "$ != 2", "true", ""])),
            7 => format!(
                "^({}{})",
                dice.pick(&["", "<", ">"]),
                dice.pick(&["$", "i", "x", "$string($)", "$count(j)"])
            ),
            8 => dice.pick(&["#$n", "@$x", "@$x#$n", "@$x.$b@$y", ".$b#$n"]).to_owned(),
            9 => format!(".$f({}, 1)", any(dice, depth)),
            _ => format!(".{}", call(dice, depth)),
        };
        path.push_str(&step);
    }
    if dice.roll(5) == 0 {
        path = format!("{path}{{{}: {}}}", dice.pick(&["'k'", "$string($)", "$string(i)"]), any(dice, depth));
    }
    path
}

fn array(dice: &mut Dice, depth: usize) -> String {
    let item = any(dice, depth);
    match dice.roll(4) {
        0 => format!("[{item}, {item}, {item}, {item}]"),
        1 => format!("[1..$count({item})]"),
        2 => format!("[[{item}], [{item}, $b]]"),
        _ => format!("[{item}, {}]", any(dice, depth)),
    }
}

fn object(dice: &mut Dice, depth: usize) -> String {
    let value = any(dice, depth);
    match dice.roll(3) {
        0 => format!("{{'a': {value}, 'b': {value}, 'c': {value}, 'x': {value}}}"),
        1 => format!("{{$string({value}): {}}}", any(dice, depth)),
        _ => format!("{{'x': {value}, 'i': {}}}", any(dice, depth)),
    }
}

fn call(dice: &mut Dice, depth: usize) -> String {
    let first = any(dice, depth);
    match dice.roll(4) {
        0 => {
            let function = dice.pick(&["append", "zip", "merge", "lookup"]);
            match function {
                "merge" => format!("$merge([{first}, {}])", any(dice, depth)),
                "lookup" => format!("$lookup({first}, 'x')"),
                function => format!("${function}({first}, {})", any(dice, depth)),
            }
        }
        1 => {
            let function = dice.pick(&[
                "spread", "keys", "distinct", "reverse", "sort", "count", "sum", "exists", "type", "boolean",
                "not", "single",
            ]);
            format!("${function}({first})")
        }
        2 => format!("$f({first}, 1)"),
        _ => format!("(function($v) {{ {} }})({first})", any(dice, depth)),
    }
}

fn function(dice: &mut Dice, depth: usize) -> String {
    match dice.roll(6) {
        0 => {
            let functions = [
                "$string",
                "$uppercase",
                "$count",
                "$append",
                "$spread",
                "$keys",
                "$sum",
                "$reverse",
                "$exists",
                "$merge",
                "$f",
                "$r",
                "/a/",
                "$append(?, $b)",
                "$join(?, $s)",
                "$map(?, $string)",
                "$lookup(?, 'x')",
                "function($v) { $v } ~> $string",
                "$string ~> $uppercase",
            ];
            dice.pick(&functions).to_owned()
        }
        1 => format!("|{}|{{'x': {}}}|", dice.pick(&["**", "x", "$", "*"]), any(dice, depth)),
        2 => format!("function($v, $n, $x) {{ {} }}", any(dice, depth)),
        3 => format!("function() {{ {} }}", any(dice, depth)),
        _ => format!("function($v) {{ {} }}", any(dice, depth)),
    }
}

fn each(dice: &mut Dice, depth: usize) -> String {
    let data = any(dice, depth);
    let function = function(dice, depth);
    match dice.roll(8) {
        0 | 1 => format!("$map({data}, {function})"),
        2 => format!("$filter({data}, {function})"),
        3 => format!("$reduce({data}, function($v, $x) {{ {} }})", any(dice, depth)),
        4 => format!("$reduce({data}, $append, {})", any(dice, depth)),
        5 => format!("$each({data}, {function})"),
        6 => format!("$sift({data}, {function})"),
        _ => format!("$sort({data}, function($v, $x) {{ {} > 1 }})", any(dice, depth)),
    }
}

fn chain(dice: &mut Dice, depth: usize) -> String {
    let first = any(dice, depth);
    match dice.roll(3) {
        0 => format!("({first} ~> {})", call(dice, depth)),
        1 => format!("({first} ~> {} ~> {})", function(dice, depth), function(dice, depth)),
        _ => format!("({first} ~> {})", function(dice, depth)),
    }
}

fn operator(dice: &mut Dice, depth: usize) -> String {
    let (left, right) = (any(dice, depth), any(dice, depth));
    match dice.roll(7) {
        0 => format!("({left} = {right})"),
        1 => format!("({left} in {right})"),
        2 => format!("({left} ? {right} : {})", any(dice, depth)),
        3 => format!("($x := {left}; {right})"),
        4 => format!("({left} ?? {right})"),
        5 => format!("({left} and {right})"),
        _ => format!("($count({left}) + $count({right}))"),
    }
}
