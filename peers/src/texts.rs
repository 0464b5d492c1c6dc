//! Hard texts for tokenisers: what pre-tokenisers split differently, and what breaks byte-level merging.
#![forbid(unsafe_code)]

use crate::random::Random;

/// Texts that are tokenised plainly, and once more with `add_special` and `parse_special`.
#[rustfmt::skip]
pub(crate) const PLAIN: &[&str] = &[
    "",
    // Words, case, punctuation.
    "Hello", " Hello", "hello world", "Hello, world!", "The quick brown fox jumps over the lazy dog.",
    "ALL CAPS AND CamelCaseWords and snake_case_words, kebab-case-words.",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "\"quoted\" 'single' `back` \u{201c}curly\u{201d} \u{2018}single curly\u{2019} \u{ab}guillemets\u{bb}",
    "wait... what?! no -- really --- yes \u{2014} em \u{2013} en \u{2026}",
    "(a) [b] {c} <d> a/b a\\b a|b a&b a^b a~b #hash @at 100% $5 \u{20ac}5 \u{a3}5 \u{a5}5",
    "!!!!!!!!!!!!!!!!!! ???????? ........ ,,,,,,,, ======== -------- ________ ********",
    // Contractions in every case, straight and curly, real and false ones.
    "I'm you're he's we've I'll I'd don't it's they'd y'all'd've",
    "I'M YOU'RE HE'S WE'VE I'LL I'D DON'T IT'S", "I'm'Re'vE'Ll'D'S'T",
    "'s 't 're 've 'm 'll 'd 'x '", "''s ''' 'S'T'RE'VE'M'LL'D", "rock 'n' roll, 'tis, o'clock, l'\u{e9}t\u{e9}, d'Artagnan",
    "don\u{2019}t I\u{2019}m we\u{2019}ve", "'\u{17f} it'\u{17f} IT'\u{17f}",
    // Digits: runs of every length, separators, other scripts' digits, number-like letters.
    "0", "1 12 123 1234 12345 123456 1234567 12345678 123456789 1234567890",
    "3.14159265358979323846", "1,000,000.00 1e-10 0x7fff_ffff 0b1010 007 +49 30 1234567",
    "abc123def456 x1y2z3 v1.2.3-rc4 2024-02-29T23:59:60Z 192.168.0.1",
    "\u{661}\u{662}\u{663}\u{664} \u{967}\u{968}\u{969} \u{ff11}\u{ff12}\u{ff13}\u{ff14} \u{b2}\u{b3}\u{b9} \u{bd}\u{bc} \u{2460}\u{2461} \u{2163}\u{2169} \u{1d7d8}\u{1d7d9}",
    "10\u{00b0}C 5\u{00b5}m 3\u{00d7}4 x\u{00b2}+y\u{00b2}=z\u{00b2}",
    // White space.
    " ", "  ", "   ", "    ", "        ", "                                                                 ",
    "\n", "\n\n", "\n\n\n", "\n \n", " \n ", "\t", "\t\t", "\t\t\t\t", "\r", "\r\n", "\r\n\r\n", "\n\r", "\u{b}\u{c}",
    "a b", "a  b", "a   b", "a    b", " a", "  a", "   a", "a ", "a  ", "a   ", " a b ", "a\n", "\na", "a\n\nb", "a \n b", "a  \n  b",
    "a\tb", "a\t\tb", "\ta", "a\t", " \t ", "\t \t", "a \tb", "a\t b", "line\r\nline\r\n\r\nline\rline\n",
    "   leading and trailing   ", "trailing newline and spaces \n   ", "  \n  \n  ", "1  2   3    4", "!  ?   .    ,",
    "no\u{a0}break \u{a0} \u{a0}\u{a0}x", "en\u{2002}em\u{2003}thin\u{2009}hair\u{200a}zero\u{200b}word\u{2060}bom\u{feff}ideographic\u{3000}\u{3000}x",
    "line\u{2028}paragraph\u{2029}next\u{85}end", "\u{1680}ogham \u{202f}narrow \u{205f}math",
    // Code.
    "fn main() {\n    println!(\"{}\", 1 + 1);\n}\n",
    "def f(x, *args, **kw):\n\tif x != 0 and not args:\n\t\treturn x ** 2  # comment\n\treturn None\n",
    "for (int i = 0; i < n; ++i) { a[i] ^= b[i] >> 3; p->q |= ~0x1fU; }\r\n",
    "SELECT * FROM \"t\" WHERE a >= 10 AND b LIKE '%x_%'; -- done",
    "<div class=\"a b\" id='c'>&nbsp;&lt;x&gt;</div><!-- c -->", "{\"a\":[1,2.5,-3e4,null,true],\"b\":{\"c\":\"\\u00e9\\n\"}}",
    "#!/bin/sh\nset -eu\nfor f in *.txt; do echo \"${f%.txt}\" >>out 2>&1; done",
    "https://example.org/a/b?c=d&e=%20f#g mailto:someone@example.org C:\\dir\\file.txt ~/x/../y",
    "\\begin{equation} \\frac{a}{b} = \\sum_{i=0}^{n} x_i^2 \\end{equation}",
    "| a | b |\n|---|:-:|\n| 1 | 2 |\n\n- [ ] item\n  - nested\n1. one\n", "```rust\nlet x = 1;\n```\n",
    "        eight spaces\n            twelve\n\t\t\ttabs\n                    twenty",
    "===>>> <<<=== := ::= => -> <- |> <| ... ..= // /* */ <!-- --> &&= ||= ??= ?.",
    // Latin beyond ASCII, precomposed and combining.
    "caf\u{e9} cafe\u{301} na\u{ef}ve nai\u{308}ve \u{c5}ngstr\u{f6}m A\u{30a}ngstro\u{308}m \u{df}\u{1e9e} \u{152}uvre \u{130}stanbul \u{131}",
    "\u{1c5} \u{1c8} \u{1cb} \u{2b0}\u{2b2} \u{fb01}\u{fb02} \u{212b}\u{2126}\u{212a} \u{aa}\u{ba}",
    "Z\u{351}\u{36b}\u{343}a\u{32a}\u{342}l\u{348}\u{36a}g\u{329}o\u{31b}\u{33c}", "\u{301}\u{302}\u{303}", " \u{301}a", "a\u{20dd}b\u{20e3}", "\u{5d0}\u{5b7}\u{5d1}\u{5bc}",
    // Other scripts.
    "Привет, мир! Как дела? Ёлка и ежи.", "Γειά σου Κόσμε· άλφα ΒΗΤΑ ς", "Բարեւ աշխարհ։ საქართველო ᲗᲑᲘᲚᲘᲡᲘ",
    "שלום עולם, מה שלומך?", "مرحبا بالعالم، كيف حالك؟ ١٢٣ مـــرحـــبا", "سلام دنیا می\u{200c}خواهم",
    "नमस्ते दुनिया, क्षत्रिय हिन्दी", "ওহে বিশ্ব বাংলা", "வணக்கம் உலகம்", "ಕನ್ನಡ తెలుగు മലയാളം ગુજરાતી ਪੰਜਾਬੀ සිංහල",
    "สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่าง", "ສະບາຍດີ မင်္ဂလာပါ សួស្តី", "བོད་ཡིག་ ᠮᠣᠩᠭᠣᠯ",
    "你好，世界！今天天气怎么样？我有１２３个苹果。", "繁體中文測試「引號」、頓號", "こんにちは世界。カタカナとひらがな、ｶﾀｶﾅー", "안녕하세요 세계! 한국어 \u{1112}\u{1161}\u{11ab}",
    "Tiếng Việt có dấu thanh", "ሰላም ልዑል ᏣᎳᎩ ᓄᓇᕗᑦ ⴰⵣⵓⵍ", "\u{10330}\u{10331}\u{10332} \u{12000}\u{12001} \u{13000}\u{13001} \u{20000}\u{2a6d6}",
    // Emoji: sequences, modifiers, flags, keycaps, variation selectors.
    "😀 😃😄 🎉🎉🎉", "👨\u{200d}👩\u{200d}👧\u{200d}👦 family", "👍🏽 👩🏿\u{200d}🚀 🏳\u{fe0f}\u{200d}🌈", "🇩🇪🇫🇷🇯🇵 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "1\u{fe0f}\u{20e3} #\u{fe0f}\u{20e3} ❤\u{fe0f} ❤ ☺\u{fe0e}", "text😀text 😀 text😀😀 1😀2 !😀?", "🫠🫨🩷 🐦\u{200d}⬛",
    // Symbols and letter-like things.
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋ ∧ √2 ≠ 1.41 ± ∞ ∑∏∫", "←↑→↓ ⇒⇔ ▀▄█▌▐ ░▒▓ ─│┌┐└┘ ■□▲△ ★☆ ♠♣♥♦ ♪♫", "© ® ™ § ¶ † ‡ • ‰ ¿¡ ¬ ¦ ¤",
    "\u{1d400}\u{1d401} \u{1d7ce} ﷽ ㍿ ㌀ ㎏ Ⅷ ⅷ ⓐ ⒜", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ｆｕｌｌｗｉｄｔｈ ᵗⁱⁿʸ",
    // Control and format characters, private use, non-characters, replacement.
    "\u{0}", "a\u{0}b", "\u{1}\u{2}\u{3}\u{7}\u{8}\u{1b}[31mred\u{1b}[0m\u{7f}", "\u{80}\u{81}\u{9f}\u{ad}soft\u{ad}hyphen", "\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}",
    "\u{e000}\u{f8ff}\u{f0000}\u{10ffff}", "\u{fffe}\u{ffff}\u{fdd0}", "\u{fffd}\u{fffd} \u{fffc}", "\u{378}\u{379} \u{e0080}",
    // Characters that byte-level vocabularies use for bytes, as text.
    "\u{120}\u{10a}\u{109} \u{100}\u{101} \u{142}\u{143} \u{2581}x \u{2581}\u{2581}", "<0x0A> <0x00> \\x00 \\n",
    // Repetition.
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "hahahahahahahahahahahahaha",
    "的的的的的的的的", "ababababababababababab abcabcabcabcabc", "the the the the the the the the", "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "0000000000000000000000000000000000000000", "ÿÿÿÿÿÿÿÿ þþþþ ððð", "                \n                \n\t\t\t\t\t\t\t\tx",
];

/// Texts with the spelling of control tokens in them: tokenised in all four ways.
pub(crate) const SPECIAL: &[&str] = &[
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou are terse.<|im_end|>\n<|im_start|>user\n  two  spaces  <|im_end|>\n",
    "<|endoftext|>",
    "<|endoftext|><|endoftext|>",
    "a<|endoftext|>b",
    "a <|endoftext|> b",
    "a\n<|im_end|>\n\nb",
    "<|im_start|> user",
    "<|im_start|>  \n<|im_end|>  ",
    "<|im_start|",
    "|im_start|>",
    "<<|im_start|>>",
    "<|im_start|im_start|>",
    "<|im_ start|> <|IM_START|> <| im_start |>",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<|begin_of_text|>",
    "<|begin_of_text|><|begin_of_text|>x",
    "<|end_of_text|><|eot_id|>",
    "<|reserved_special_token_0|> <|reserved_special_token_247|>",
    "<|object_ref_start|><|fim_prefix|><|repo_name|>",
    "<repo_name>x<file_sep>y<issue_start>",
    "<s></s><unk><pad>[INST] [/INST]",
    "don't<|im_end|>'s <|im_end|> 's",
    "1<|im_end|>2 <|im_end|>  3",
    "日本<|im_end|>語😀<|im_end|>",
];

/// What generated texts are put together from: one or more pieces of every class that a pre-tokeniser tells apart.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "a", "B", "word", "Word", "WORD", "é", "ß", "Ж", "字", "語", "あ", "한", "ع", "क", "ि", "\u{301}", "\u{200d}", "ª", "ʰ",
    "0", "1", "42", "123", "4567", "٣", "²", "½", "Ⅷ", "１",
    " ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", "\u{a0}", "\u{3000}", "\u{85}", "\u{2028}",
    ".", ",", "!", "?", "'", "'", "\"", "-", "_", "/", "(", ")", "$", "+", "€", "…", "—", "。", "😀", "♥", "©", "\u{fe0f}",
    "'s", "'S", "'ll", "'LL", "'re", "'Ve", "'d", "'t", "'m", "’s",
    "\u{0}", "\u{7f}", "\u{ad}", "\u{200b}", "\u{feff}", "\u{e000}", "\u{fffd}",
];

/// `count` texts of 2 to 13 pieces each, drawn by a fixed seed.
pub(crate) fn generated(count: usize) -> Vec<String> {
    let mut random = Random::new(3);
    let mut text = || {
        let pieces = 2 + random.below(12);
        (0..pieces).map(|_| PIECES[random.below(PIECES.len() as u32) as usize]).collect()
    };
    (0..count).map(|_| text()).collect()
}

/// Ranges of characters that belong together, from which words of any script are drawn.
#[rustfmt::skip]
const SCRIPTS: &[(u32, u32)] = &[
    (0x20, 0x7e), (0x61, 0x7a), (0x41, 0x5a), (0x30, 0x39), (0x21, 0x2f), (0x00, 0x1f), (0x7f, 0xff), (0x100, 0x24f),
    (0x250, 0x2ff), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x52f), (0x530, 0x58f), (0x590, 0x5ff), (0x600, 0x6ff),
    (0x700, 0x7ff), (0x900, 0x97f), (0x980, 0x9ff), (0xb80, 0xbff), (0xe00, 0xe7f), (0xe80, 0xeff), (0xf00, 0xfff),
    (0x1000, 0x109f), (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1200, 0x137f), (0x1780, 0x17ff), (0x1ab0, 0x1aff),
    (0x1c80, 0x1cbf), (0x1d00, 0x1dbf), (0x1e00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x20ff), (0x2100, 0x214f),
    (0x2150, 0x218f), (0x2190, 0x22ff), (0x2460, 0x24ff), (0x2500, 0x27bf), (0x2c00, 0x2c7f), (0x2e80, 0x2fdf),
    (0x3000, 0x303f), (0x3040, 0x309f), (0x30a0, 0x30ff), (0x3100, 0x318f), (0x3400, 0x4dbf), (0x4e00, 0x9fff),
    (0xa640, 0xa69f), (0xa720, 0xa7ff), (0xab70, 0xabbf), (0xac00, 0xd7ff), (0xe000, 0xe0ff), (0xf900, 0xfaff),
    (0xfb00, 0xfb4f), (0xfe00, 0xfe0f), (0xfe30, 0xfe4f), (0xfe70, 0xfeff), (0xff00, 0xffef), (0xfff0, 0xffff),
    (0x10000, 0x100ff), (0x10400, 0x1044f), (0x11000, 0x1107f), (0x1d400, 0x1d7ff), (0x1e900, 0x1e95f),
    (0x1f1e6, 0x1f1ff), (0x1f300, 0x1f64f), (0x1f3fb, 0x1f3ff), (0x20000, 0x2a6df), (0x2b740, 0x2b9ff),
    (0x2f800, 0x2fa1f), (0xe0020, 0xe007f), (0xe0100, 0xe01ef),
];

/// What joins characters, or stands between them.
const JOINTS: &[&str] =
    &["", "", "", "", " ", " ", "  ", "\n", " \n", "\t", "\u{200d}", "\u{fe0f}", "\u{301}", "'", "."];

/// `count` texts: pieces as above, words of the written texts, and runs of characters of every script, mixed by `seed`.
pub(crate) fn drawn(count: usize, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let pick = |random: &mut Random, list: &[&'static str]| list[random.below(list.len() as u32) as usize];
    let words: Vec<&str> = PLAIN.iter().flat_map(|text| text.split_inclusive(' ')).collect();
    let mut text = || {
        let mut text = String::new();
        for _ in 0..1 + random.below(8) {
            match random.below(8) {
                0 | 1 => text.push_str(pick(&mut random, PIECES)),
                2 | 3 => text.push_str(pick(&mut random, &words)),
                4 => {
                    let piece = pick(&mut random, PIECES);
                    text.extend(std::iter::repeat_n(piece, 1 + random.below(9) as usize));
                }
                _ => {
                    let (first, last) = SCRIPTS[random.below(SCRIPTS.len() as u32) as usize];
                    let joint = pick(&mut random, JOINTS);
                    for _ in 0..1 + random.below(9) {
                        text.extend(char::from_u32(first + random.below(last - first + 1)));
                        text.push_str(joint);
                    }
                }
            }
        }
        text
    };
    (0..count).map(|_| text()).collect()
}
