// Deterministic test lines: real text, and mixtures of everything a tokenizer may trip over.
import assigned from '@unicode/unicode-9.0.0/Binary_Property/Assigned/code-points.mjs';

// The tables of the engines differ in age: Hugging Face's NFC is of Unicode 9, the properties of
// PCRE2 10.42 are of Unicode 14, JavaScript's are newer still. They agree on what all of them know,
// so code points that Unicode 9 has not assigned stay out. (Surrogates are no text.)
const known = assigned.filter((c) => c < 0xd800 || c > 0xdfff);
const isKnown = new Set(known);
const marks = known.filter((c) => /\p{M}/u.test(String.fromCodePoint(c)));

// A small generator of the xorshift family; the same numbers everywhere.
export class Random {
  constructor(seed) {
    this.state = (seed >>> 0) || 1;
  }
  below(n) {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % n;
  }
  pick(list) {
    return list[this.below(list.length)];
  }
  join(low, high, make) {
    return Array.from({length: low + this.below(high - low + 1)}, make).join('');
  }
}

const spaces = [
  ...' \t\n\r\v\f\u0085\u00a0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
];
const notQuiteSpaces = [
  ...'\u180e\u200b\u200c\u200d\u2060\ufeff\u001c\u001d\u001e\u001f\u0000\u007f',
];
const newlines = ['\n', '\r\n', '\r', '\n\n', '\n \n', ' \n', '\n  ', '\t\n\t'];

const words = [
  'the', 'Hello', 'WORLD', 'camelCase', 'snake_case', 'naïve', 'Ångström', 'Zürich', 'ﬁﬂ', 'ǅ',
  'İstanbul',
  'Việt Nam', 'tiếng', 'Ελληνικά', 'ᾆ', 'Привет', 'йога', 'мир', 'שָׁלוֹם', 'العَرَبِيَّة',
  'مرحبا', 'لا',
  'हिन्दी', 'क्षत्रिय', 'বাংলা', 'தமிழ்', 'తెలుగు', 'ภาษาไทย', 'น้ำ', 'ລາວ', 'བོད་', 'မြန်မာ',
  'አማርኛ', 'ქართული',
  'Հայերեն', '日本語', 'テキスト', 'ﾊﾝｶｸ', 'が', '中文分词', '繁體', '한국어', '각', '𝒳𝔂', '𠀀𪚥', 'ﷺ', 'ॐ', 'Ω', 'K',
  'Å',
];
const contractions = [
  "'s", "'S", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'LL", "'lL", "'d", "'D", '’s', "'x", "''s",
  "'ſ", "'ſt",
  "don't", "I'm", "they'Re", "O'Neill", "rock'n'roll",
];
const numbers = [
  '0', '7', '42', '123456', '3.14159', '1e-10', '0xFF', '1,000,000', '2024-01-31', '٣٤٥', '१२३',
  '½', '²', 'Ⅷ', '①', '〇', '๙',
];
const emoji = [
  '😀', '👍🏽', '👨‍👩‍👧‍👦', '🏳️‍🌈', '👩🏾‍💻', '🇩🇪', '🇫🇷🇯', '1️⃣', '❤️', '☺', '🤷‍♂️', '👁️‍🗨️', '🕴🏿',
];
const punctuation = [
  '.', ',', '!?', '...', '…', '—', '“', '”', '«»', '(', ')', '[]', '{}', '->', '=>', '!=', '&&',
  '||', '//', '/*', '*/', '#',
  '@', '$', '%', '^', '^^^^', '&', '~', '`', '\\', '\\n', '"', '<', '>', '</', '。', '、', '¿', '§',
  '€', '±', '∑', '→', '♪',
];
const specials = [
  '<|im_start|>', '<|im_end|>', '<|endoftext|>', '<|im_start', 'im_end|>', '<|im_|>', '<|', '|>',
  '<||>', '<<|im_end|>>',
  '<|im_<|im_end|>', '<think>', '</think>', '<think', '<tool_call>', '</tool_call>',
  '<tool_response>', '</tool_response>',
  '<|fim_prefix|>', '<|fim_pad|>', '<|file_sep|>', '<|vision_start|>', '[PAD151669]',
  '<|IM_START|>', '<|im_end|>\u0338',
  '<bos>', '<eos>', '<start_of_turn>', '<end_of_turn>', '<end_of_', '<unk>', '<mask>', '<unused7>',
  '<table>', '</td>', '<td', '[multimodal]', '<image_soft_token>', '<0x41>', '<0xC3>', '\u2581',
  '\u2581\u2581', ' \u2581 ', '\u2581the', '\n\n\n\n\n', '\t\t\t', '</',
];
const code = [
  'def f(x):\n    return x**2\n', 'for (int i = 0; i < n; ++i) {\n\t\ta[i] += b[i];\n\t}',
  '#include <vector>\r\n', 'std::vector<int>&',
  'if(a&&b||!c)', 'let s = `${x}`;', 'SELECT * FROM t WHERE id=\'1\';', '{"key": [1, 2.5, null]}',
  '\t\treturn;', '    }\n\n\n    //',
  '<a href="x">y</a>', 'x = y if z else w', '\\begin{align*}', 'https://example.org/a?b=c&d=%20',
  'C:\\Users\\x', '$HOME/.bashrc',
  '-----', '=====', '####', '****', '______', '        ', '                ', '\u001b[31m',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
];

const fragments = [
  spaces, notQuiteSpaces, newlines, words, contractions, numbers, emoji, punctuation, specials,
  code,
];

const kinds = [
  (r) => r.pick(words),
  (r) => ' ' + r.pick(words),
  (r) => r.pick(words).normalize('NFD'),
  (r) => r.pick(contractions),
  (r) => r.pick(numbers),
  (r) => r.join(1, 6, () => r.below(10)),
  (r) => r.pick(emoji),
  (r) => r.pick(punctuation),
  (r) => r.pick(specials),
  (r) => r.pick(code),
  (r) => r.pick(newlines),
  (r) => r.join(1, 4, () => r.pick(spaces)),
  (r) => ' '.repeat(1 + r.below(20)),
  (r) => r.pick(notQuiteSpaces),
  (r) => r.pick(words) + r.join(1, 5, () => String.fromCodePoint(r.pick(marks))),
  (r) => r.join(1, 8, () => String.fromCodePoint(0x20 + r.below(0x5f))),
  (r) => r.join(1, 6, () => String.fromCodePoint(r.pick(known))),
  (r) => r.join(1, 12, () => String.fromCodePoint(0x4e00 + r.below(0x5200))),
  (r) => r.join(1, 8, () => String.fromCodePoint(0xac00 + r.below(11172))).normalize('NFD'),
  (r) => r.join(1, 8, () => String.fromCodePoint(0xac00 + r.below(11172))),
  (r) => r.pick(words).repeat(1 + r.below(12)),
];

const onlyKnown = (text) => [...text].filter((c) => isKnown.has(c.codePointAt(0))).join('');

export function testLines(realText, count, seed) {
  const random = new Random(seed);
  const lines = ['', realText, ...realText.split('\n'), ...realText.split(/\n{2,}/)];
  for (const item of fragments.flat()) {
    lines.push(item, ` ${item}`, `${item} `, `a${item}b`, `${item}${item}`, `\n${item}\n`);
  }
  while (lines.length < count) lines.push(random.join(1, 16, () => random.pick(kinds)(random)));
  return lines.map(onlyKnown);
}
