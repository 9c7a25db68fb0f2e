// The table of scripts/cost: what each language adds to a call. With --check the bars of the issue decide.
import { readFileSync } from 'node:fs';

const check = process.argv.includes('--check');
const lines = readFileSync(0, 'utf8').split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
const cost = (language, call) => {
  const turns = lines.filter((line) => line.language === language && line.call === call).map((line) => line.median_us);
  return turns.sort((a, b) => a - b)[Math.floor(turns.length / 2)];
};
const calls = [...new Set(lines.map((line) => line.call))];
const languages = ['rust', 'kotlin', 'swift'];
const shown = (us) => (us === undefined ? '-' : us.toFixed(us < 10 ? 2 : 0));
const row = (cells) => console.log(cells.map((cell, at) => (at ? cell.padStart(12) : cell.padEnd(18))).join(''));

row(['us, median', ...languages]);
for (const call of calls) row([call, ...languages.map((language) => shown(cost(language, call)))]);

const bars = ['kotlin', 'swift'].flatMap((language) => [
  [`${language}: log_set_blocking above Rust`, cost(language, 'log_set_blocking') - cost('rust', 'log_set'), 60],
  [`${language}: page_100 in all`, cost(language, 'page_100'), 1000],
]);
let missed = 0;
for (const [what, us, most] of bars) {
  const met = us <= most; // false where it was not measured
  if (!met) missed += 1;
  console.log(`${met ? 'met   ' : 'MISSED'} ${what}: ${shown(us)} us, at most ${most}`);
}
console.log(`${missed} of ${bars.length} bars missed`);
if (check && missed) process.exit(1);
