// What do the filters leave? course_lib/generation/sampling.py once more, so that a slider need not ask the kernel.
//
// One function for each filter, in the same order and with the same rules; a token that is cut off gets -Infinity. The
// scores are float32 as in Python, and so is each comparison, or a token at the edge would be cut on one side only.

const single = Math.fround;

function largestOf(numbers) {
  let largest = -Infinity;
  for (let place = 0; place < numbers.length; place++) if (numbers[place] > largest) largest = numbers[place];
  return largest;
}

/** exp(logit) / sum, in float32; subtracting the largest first keeps exp from overflowing. */
function softmax(logits) {
  const [largest, shares] = [largestOf(logits), new Float32Array(logits.length)];
  let sum = 0;
  for (let token = 0; token < logits.length; token++) {
    if (logits[token] === -Infinity) continue;
    shares[token] = Math.exp(logits[token] - largest);
    sum += shares[token];
  }
  for (let token = 0; token < logits.length; token++) shares[token] /= sum;
  return shares;
}

/** How undecided, in bits: log2 of the sum, minus the mean exponent. */
function entropyOf(logits) {
  const largest = largestOf(logits);
  let [sum, weighted] = [0, 0];
  for (let token = 0; token < logits.length; token++) {
    if (logits[token] === -Infinity) continue;
    const share = Math.exp(logits[token] - largest);
    sum += share;
    weighted += share * (logits[token] - largest);
  }
  return Math.max((Math.log(sum) - weighted / sum) / Math.LN2, 0);
}

/** logits / T. */
function atTemperature(logits, temperature) {
  if (!(temperature > 0))
    throw new Error(
      `temperature must be > 0, got ${temperature}; for the likeliest token at every step use do_sample=False ` +
        "(the buttons with “likeliest”)",
    );
  return logits.map((logit) => logit / single(temperature));
}

/** The k likeliest tokens stay, and those that tie with the last of them. */
function onlyTopK(logits, k) {
  if (!(k >= 1)) throw new Error(`top_k must be at least 1, got ${k}; leave it out to keep all tokens`);
  const smallest = logits.slice().sort().at(-k) ?? -Infinity;
  return logits.map((logit) => (logit < smallest ? -Infinity : logit));
}

/** The smallest set of likeliest tokens stays whose probabilities reach p together: the nucleus. */
function onlyTopP(logits, p) {
  if (!(p > 0 && p <= 1)) throw new Error(`top_p must be in (0, 1], got ${p}; 1 keeps all tokens`);
  const ascending = logits.slice().sort();
  let [cut, reached] = [0, 0]; // how many lie below the nucleus
  for (const share of softmax(ascending)) {
    reached += share;
    if (single(reached) > single(1 - p)) break;
    cut += 1;
  }
  cut = Math.min(cut, ascending.length - 1); // the likeliest token always stays
  const edge = ascending[cut];
  let ties = cut - ascending.indexOf(edge); // of equals at the edge torch cuts any; here the first
  return logits.map((logit) => (logit < edge || (logit === edge && ties-- > 0) ? -Infinity : logit));
}

/** Tokens stay that are at least min_p times as likely as the likeliest one. */
function onlyMinP(logits, minP) {
  if (!(minP >= 0 && minP <= 1)) throw new Error(`min_p must be in [0, 1], got ${minP}; 0 keeps all tokens`);
  const shares = softmax(logits);
  const edge = single(single(minP) * largestOf(shares));
  const first = logits.indexOf(largestOf(logits)); // the likeliest token always stays
  return logits.map((logit, token) => (shares[token] < edge && token !== first ? -Infinity : logit));
}

/** Scores of tokens that occurred already become smaller: divided by the penalty, or multiplied if negative. */
function againstRepetition(logits, tokens, penalty) {
  if (!(penalty > 0)) throw new Error(`repetition_penalty must be > 0, got ${penalty}; 1 changes nothing`);
  const [scores, by] = [logits.slice(), single(penalty)];
  for (const token of tokens) scores[token] = logits[token] < 0 ? logits[token] * by : logits[token] / by;
  return scores;
}

/** [name, scores] after each step in turn; `logits` is a Float32Array. A filter that is null is left out. */
function stagesOf(logits, tokens, setting) {
  const stages = [];
  const then = (name, scores) => stages.push([name, (logits = scores)]);
  const { temperature, top_k, top_p, min_p, repetition_penalty: penalty } = setting;
  if (penalty !== 1) then("repetition_penalty", againstRepetition(logits, tokens, penalty));
  then("temperature", atTemperature(logits, temperature));
  if (top_k !== null) then("top_k", onlyTopK(logits, top_k));
  if (top_p !== null) then("top_p", onlyTopP(logits, top_p));
  if (min_p !== null) then("min_p", onlyMinP(logits, min_p));
  return stages;
}
