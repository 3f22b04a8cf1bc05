// The picture of an audit: who links what from where. What computes has no document in it, so that tests can run it.
"use strict";

const NODE = { width: 196, height: 38, gapX: 46, gapY: 9 };
const BOX = { padX: 16, padTop: 34, padBottom: 14, gap: 26, line: 18, tall: 12, widest: 1500 };
const MANY = 4;
const STRONG = ["#d1242f", "#1f6feb", "#bf8700", "#8250df", "#1a7f37", "#cf4a9c", "#0e8a8a", "#b35900", "#5b6bd6", "#6e8f00"];

function size(bytes) {
  if (bytes >= 999950) {
    return (bytes / 1e6).toFixed(1) + " MB";
  }
  return bytes >= 1000 ? Math.round(bytes / 1e3) + " kB" : bytes + " bytes";
}

function escaped(text) {
  return String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
}

function short(text, length) {
  if (text.length <= length) {
    return text;
  }
  const tail = Math.floor(length / 2.4);
  return text.slice(0, length - tail - 1) + "…" + text.slice(-tail);
}

function byText(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Nodes and edges of an audit. `options.system` shows what any machine has, `options.stacks` leaves modules folded. */
function graph(doc, options) {
  const nodes = new Map();
  const found = new Map();
  for (const finding of doc.findings) {
    for (const place of finding.places) {
      const key = place.owner + "\n" + place.path;
      found.set(key, [...(found.get(key) || []), finding]);
    }
  }
  const copyOf = new Map();
  const strong = [...doc.copies].sort((a, b) => b.bytes - a.bytes || byText(a.library, b.library));
  strong.forEach((set, at) => {
    const color = at < STRONG.length ? STRONG[at] : `hsl(${Math.round((at * 137.5) % 360)} 60% 45%)`;
    set.objects.forEach((id, number) => copyOf.set(id, { set, color, number: number + 1 }));
  });
  const system = new Set();
  for (const object of doc.objects) {
    for (const need of object.needed) {
      if (need.state === "system" && need.to !== null) {
        system.add(need.to);
      }
    }
  }
  const wanted = new Set();
  for (const object of doc.objects) {
    for (const need of object.needed) {
      if (need.to !== null && need.to !== object.id) {
        wanted.add(need.to);
      }
    }
  }
  const at = new Map(); // object id → key of its node
  const stacks = new Map();
  for (const object of doc.objects) {
    if (!object.inside && (!wanted.has(object.id) || (system.has(object.id) && !options.system))) {
      continue;
    }
    const findings = found.get(object.owner + "\n" + object.path) || [];
    const name = object.path.slice(object.path.lastIndexOf("/") + 1);
    // what says the same of many modules does not unfold them
    const loud = findings.some((f) => f.severity === "error" || (f.severity === "warning" && f.places.length <= MANY));
    const quiet = object.inside && !wanted.has(object.id) && !loud && !copyOf.has(object.id);
    if (quiet && options.stacks) {
      stacks.set(object.owner, [...(stacks.get(object.owner) || []), object.id]);
    }
    const key = "o" + object.id;
    const owner = object.inside ? object.owner : "outside of what is audited";
    nodes.set(key, { key, owner, name, size: object.size, findings, ids: [object.id], copy: copyOf.get(object.id) || null,
      state: object.inside ? "inside" : "outside" });
    at.set(object.id, key);
  }
  for (const [owner, ids] of stacks) {
    if (ids.length < 3) {
      continue;
    }
    const key = "s" + ids[0];
    const total = ids.reduce((sum, id) => sum + doc.objects[id].size, 0);
    ids.forEach((id) => {
      nodes.delete("o" + id);
      at.set(id, key);
    });
    const findings = [...new Set(ids.flatMap((id) => found.get(owner + "\n" + doc.objects[id].path) || []))];
    nodes.set(key, { key, owner, name: `${ids.length} modules and programs`, size: total, findings, ids, copy: null,
      state: "inside" });
  }
  const edges = new Map();
  for (const object of doc.objects) {
    const from = at.get(object.id);
    for (const need of object.needed) {
      let to = need.to === null ? undefined : at.get(need.to);
      if (need.state === "missing") {
        to = "m" + object.owner + "/" + need.name; // drawn beside what needs it
        if (!nodes.has(to)) {
          const findings = doc.findings.filter((finding) => finding.places.some((place) => place.owner === object.owner)
            && (finding.subject === need.name || (finding.code.startsWith("TC2") && finding.message.includes(need.name))));
          // only notes say that it is missing: another package brings it
          const expected = findings.length > 0 && findings.every((finding) => finding.severity === "note");
          nodes.set(to, { key: to, owner: object.owner, name: need.name, size: 0, findings, ids: [], copy: null,
            state: "missing", expected });
        }
      }
      if (from === undefined || to === undefined || from === to) {
        continue;
      }
      const kind = nodes.get(to).expected ? "" : nodes.get(to).state !== "inside" ? nodes.get(to).state
        : nodes.get(from).owner === nodes.get(to).owner ? "" : "cross";
      const key = from + " " + to;
      edges.set(key, { from, to, kind, implied: false });
    }
  }
  const all = [...edges.values()];
  imply([...nodes.keys()], all);
  return { nodes, edges: all };
}

/** Mark the edges that a longer way says already: what A needs is needed by another thing that A needs. */
function imply(keys, edges) {
  const level = levels(keys, edges);
  const next = new Map(keys.map((key) => [key, []]));
  for (const edge of edges) {
    if (level.get(edge.to) > level.get(edge.from)) {
      next.get(edge.from).push(edge.to);
    }
  }
  const reach = new Map();
  for (const key of [...keys].sort((a, b) => level.get(b) - level.get(a))) {
    const all = new Set(next.get(key));
    for (const other of next.get(key)) {
      for (const far of reach.get(other)) {
        all.add(far);
      }
    }
    reach.set(key, all);
  }
  for (const edge of edges) {
    edge.implied = edge.kind !== "missing" && level.get(edge.to) > level.get(edge.from) + 1
      && next.get(edge.from).some((other) => other !== edge.to && reach.get(other).has(edge.to));
  }
}

/** Levels: what nothing needs first, circles as one. Returns key → level. */
function levels(keys, edges) {
  const inside = new Set(keys);
  const next = new Map(keys.map((key) => [key, []]));
  for (const edge of edges) {
    if (inside.has(edge.from) && inside.has(edge.to)) {
      next.get(edge.from).push(edge.to);
    }
  }
  // Tarjan's strongly connected components, without recursion; components come out with the needed ones first
  const number = new Map(), low = new Map(), component = new Map(), open = [];
  const components = [];
  for (const start of keys) {
    const work = number.has(start) ? [] : [[start, 0]];
    while (work.length) {
      const top = work[work.length - 1];
      const [key, position] = top;
      if (position === 0) {
        number.set(key, number.size);
        low.set(key, number.get(key));
        open.push(key);
      }
      const successors = next.get(key);
      if (position < successors.length) {
        top[1] += 1;
        const other = successors[position];
        if (!number.has(other)) {
          work.push([other, 0]);
        } else if (!component.has(other)) {
          low.set(key, Math.min(low.get(key), number.get(other)));
        }
        continue;
      }
      work.pop();
      if (work.length) {
        const parent = work[work.length - 1][0];
        low.set(parent, Math.min(low.get(parent), low.get(key)));
      }
      if (low.get(key) === number.get(key)) {
        const members = [];
        let member;
        do {
          member = open.pop();
          component.set(member, components.length);
          members.push(member);
        } while (member !== key);
        components.push(members);
      }
    }
  }
  const level = new Array(components.length).fill(0);
  for (let at = components.length - 1; at >= 0; at -= 1) {
    for (const key of components[at]) {
      for (const other of next.get(key)) {
        const to = component.get(other);
        if (to !== at) {
          level[to] = Math.max(level[to], level[at] + 1);
        }
      }
    }
  }
  return new Map(keys.map((key) => [key, level[component.get(key)]]));
}

/** Where everything is drawn: boxes of owners, in them columns of nodes. The same audit gives the same picture. */
function layout(doc, options) {
  const { nodes, edges } = graph(doc, options);
  const groups = new Map();
  for (const node of nodes.values()) {
    groups.set(node.owner, [...(groups.get(node.owner) || []), node]);
  }
  const outer = edges.filter((edge) => edge.kind === "cross")
    .map((edge) => ({ from: nodes.get(edge.from).owner, to: nodes.get(edge.to).owner }));
  const rank = levels([...groups.keys()].sort(byText), outer);
  const last = (members) => (members[0].state === "outside" ? 1 : 0);
  const owners = [...groups].sort(([a, as], [b, bs]) =>
    last(as) - last(bs) || rank.get(a) - rank.get(b) || bs.length - as.length || byText(a, b));
  const boxes = [];
  const before = new Map();
  for (const edge of edges) {
    before.set(edge.to, [...(before.get(edge.to) || []), edge.from]);
  }
  let x = 0, y = 0, shelf = 0, width = 0;
  for (const [owner, members] of owners) {
    members.sort((a, b) => byText(a.name, b.name) || byText(a.key, b.key));
    const level = levels(members.map((node) => node.key), edges);
    const flat = members[0].state === "outside";
    const columns = [];
    for (const node of members) {
      (columns[flat ? 0 : level.get(node.key)] ||= []).push(node);
    }
    const row = new Map();
    const placed = [];
    for (const column of columns.filter(Boolean)) {
      const wish = (node) => {
        const rows = (before.get(node.key) || []).filter((key) => row.has(key)).map((key) => row.get(key));
        return rows.length ? rows.reduce((a, b) => a + b, 0) / rows.length : 1e6;
      };
      const wishes = new Map(column.map((node) => [node, wish(node)]));
      column.sort((a, b) => wishes.get(a) - wishes.get(b) || byText(a.name, b.name) || byText(a.key, b.key));
      const wide = flat ? Math.max(1, Math.ceil(column.length / 6)) : Math.ceil(column.length / BOX.tall);
      const tall = Math.ceil(column.length / wide);
      for (let from = 0; from < column.length; from += tall) {
        const part = column.slice(from, from + tall);
        part.forEach((node, at) => row.set(node.key, at));
        placed.push(part);
      }
    }
    // many columns go on below, as lines of text do: a picture wider than a screen is read by nobody
    const perLine = Math.max(1, Math.floor((BOX.widest - 2 * BOX.padX + NODE.gapX) / (NODE.width + NODE.gapX)));
    const heights = [];
    placed.forEach((column, at) => {
      const line = Math.floor(at / perLine);
      heights[line] = Math.max(heights[line] || 0, column.length);
    });
    const pitch = NODE.height + NODE.gapY;
    const across = Math.min(placed.length, perLine);
    const title = owner.length * 8 + 200;
    const box = { owner, count: members.reduce((sum, node) => sum + node.ids.length, 0),
      size: members.reduce((sum, node) => sum + node.size, 0), state: members[0].state,
      width: Math.max(across * (NODE.width + NODE.gapX) - NODE.gapX + 2 * BOX.padX, Math.min(title, BOX.widest)),
      height: BOX.padTop + BOX.padBottom + heights.reduce((sum, tall) => sum + tall * pitch + BOX.line, 0)
        - NODE.gapY - BOX.line };
    if (x && x + box.width > BOX.widest + 40) {
      x = 0;
      y += shelf + BOX.gap;
      shelf = 0;
    }
    box.x = x;
    box.y = y;
    placed.forEach((column, at) => {
      const line = Math.floor(at / perLine);
      const top = y + BOX.padTop + heights.slice(0, line).reduce((sum, tall) => sum + tall * pitch + BOX.line, 0);
      const shift = ((heights[line] - column.length) * pitch) / 2;
      column.forEach((node, number) => {
        node.x = x + BOX.padX + (at % perLine) * (NODE.width + NODE.gapX);
        node.y = top + shift + number * pitch;
      });
    });
    boxes.push(box);
    width = Math.max(width, x + box.width);
    shelf = Math.max(shelf, box.height);
    x += box.width + BOX.gap;
  }
  return { nodes, edges, boxes, width: width + 2, height: y + shelf + 2 };
}

function curve(from, to) {
  const y1 = from.y + NODE.height / 2, y2 = to.y + NODE.height / 2;
  if (to.x > from.x + NODE.width / 2) {
    const x1 = from.x + NODE.width, x2 = to.x, bend = Math.max(26, Math.min(90, (x2 - x1) / 2));
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  if (from.x > to.x + NODE.width / 2) {
    const x1 = from.x, x2 = to.x + NODE.width, bend = Math.max(26, Math.min(90, (x1 - x2) / 2));
    return `M${x1} ${y1}C${x1 - bend} ${y1} ${x2 + bend} ${y2} ${x2} ${y2}`;
  }
  const x1 = from.x + NODE.width, x2 = to.x + NODE.width;
  return `M${x1} ${y1}C${x1 + 36} ${y1} ${x2 + 36} ${y2} ${x2} ${y2}`;
}

function label(node) {
  const parts = [node.name, node.owner];
  if (node.size) {
    parts.push(size(node.size));
  }
  if (node.copy) {
    parts.push(`copy ${node.copy.number} of ${node.copy.set.objects.length} of ${node.copy.set.library}`);
  }
  for (const severity of ["error", "warning", "note"]) {
    const number = node.findings.filter((finding) => finding.severity === severity).length;
    if (number) {
      parts.push(`${number} ${severity}${number === 1 ? "" : "s"}`);
    }
  }
  return parts.join(", ");
}

/** The picture as SVG text. */
function picture(made, name) {
  const { nodes, edges, boxes, width, height } = made;
  const out = [`<svg class="picture" xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 ${width} ${height}" ` +
    `width="${width}" height="${height}" role="group" aria-label="${escaped(name)}">`];
  for (const box of boxes) {
    const info = `${box.count} · ${size(box.size)}`;
    const room = Math.floor((box.width - 110) / 8);
    out.push(`<g class="owner"><rect x="${box.x}" y="${box.y}" width="${box.width}" height="${box.height}" rx="9"/>` +
      `<text x="${box.x + BOX.padX}" y="${box.y + 22}">${escaped(short(box.owner, room))}` +
      `<tspan class="dim" dx="10">${info}</tspan></text></g>`);
  }
  const order = { outside: 0, "": 1, cross: 2, missing: 3 };
  for (const edge of [...edges].sort((a, b) => order[a.kind] - order[b.kind])) {
    out.push(`<path class="edge ${edge.kind}${edge.implied ? " implied" : ""}" data-from="${escaped(edge.from)}" data-to="${escaped(edge.to)}" ` +
      `d="${curve(nodes.get(edge.from), nodes.get(edge.to))}"/>`);
  }
  const sets = new Map();
  for (const node of nodes.values()) {
    if (node.copy) {
      sets.set(node.copy.set, [...(sets.get(node.copy.set) || []), node]);
    }
  }
  const many = [...sets.values()].reduce((sum, members) => sum + members.length - 1, 0) > 6 ? " many" : "";
  for (const members of sets.values()) {
    members.sort((a, b) => a.copy.number - b.copy.number);
    for (let at = 1; at < members.length; at += 1) {
      const [a, b] = [members[at - 1], members[at]];
      out.push(`<path class="tie${many}" stroke="${a.copy.color}" data-from="${a.key}" data-to="${b.key}" d="${curve(a, b)}"/>`);
    }
  }
  let first = true;
  for (const node of [...nodes.values()].sort((a, b) => a.y - b.y || a.x - b.x)) {
    const worst = ["error", "warning"].find((s) => node.findings.some((finding) => finding.severity === s));
    const kind = ["node", node.state, node.expected ? "expected" : "", node.copy ? "copy" : "", worst ? "is-" + worst : ""].filter(Boolean).join(" ");
    const small = [node.size ? size(node.size) : node.expected ? "not in the targets" : "not found", node.copy
      ? `copy ${node.copy.number} of ${node.copy.set.objects.length}` : ""].filter(Boolean).join(" · ");
    const { x, y } = node, body = `x="${x}" y="${y}" width="${NODE.width}" height="${NODE.height}" rx="6"`;
    out.push(`<g class="${kind}" data-key="${escaped(node.key)}" role="button" tabindex="${first ? 0 : -1}" ` +
      `aria-label="${escaped(label(node))}"><title>${escaped(label(node))}</title><rect class="body" ${body}` +
      (node.copy ? ` stroke="${node.copy.color}"/><rect class="tint" ${body} fill="${node.copy.color}"/>` : "/>") +
      `<text x="${x + 9}" y="${y + 16}">${escaped(short(node.name, node.state === "missing" ? 22 : 25))}</text>` +
      `<text class="small" x="${x + 9}" y="${y + 30}">${escaped(small)}</text>` +
      (worst ? `<circle class="mark" cx="${x + NODE.width - 11}" cy="${y + 27}" r="5"/>` : "") + "</g>");
    first = false;
  }
  out.push("</svg>");
  return out.join("\n");
}

/** What is said about a node, as HTML text. */
function about(doc, made, key) {
  const node = made.nodes.get(key);
  const objects = node.ids.map((id) => doc.objects[id]);
  const link = (other, text) =>
    `<li><button type="button" data-key="${escaped(other)}">${escaped(text || made.nodes.get(other).name)}</button></li>`;
  const list = (title, items) => (items.length ? `<h4>${title}</h4><ul>${items.join("")}</ul>` : "");
  const out = [`<h3>${escaped(node.name)}</h3>`];
  if (objects.length === 1) {
    const object = objects[0];
    out.push(`<p><span class="path">${escaped(object.path)}</span><br>${escaped(object.owner)}<br>` +
      `${size(object.size)} (${object.size.toLocaleString("en")} bytes), ${object.kind}<br>` +
      `soname: <code>${escaped(object.soname || "none")}</code></p>`);
    const system = object.needed.filter((need) => need.state === "system").map((need) => need.name);
    if (system.length) {
      out.push(`<p class="dim">From the machine: ${escaped(system.join(", "))}</p>`);
    }
  } else if (node.state === "missing") {
    out.push("<p>Nothing here provides it.</p>");
  }
  if (node.copy) {
    const others = node.copy.set.objects.map((id) => "o" + id).filter((other) => other !== key && made.nodes.has(other));
    out.push(list(`Copies of ${escaped(node.copy.set.library)}, costing ${size(node.copy.set.bytes)}`, others.map((other) =>
      link(other, `${made.nodes.get(other).owner}: ${made.nodes.get(other).name}`))));
  }
  const seen = new Set();
  out.push(list("Findings", node.findings.filter((f) => !seen.has(f.fingerprint) && seen.add(f.fingerprint)).map((f) =>
    `<li><a class="${f.severity}" href="#f-${f.fingerprint}">${f.code}</a> ${escaped(f.message)}</li>`)));
  out.push(list("Needs", made.edges.filter((edge) => edge.from === key).map((edge) => link(edge.to))));
  out.push(list("Needed by", made.edges.filter((edge) => edge.to === key).map((edge) => link(edge.from))));
  if (objects.length > 1) {
    out.push(list("These are", objects.map((o) => `<li class="path">${escaped(o.path)}</li>`)));
  }
  return out.join("");
}

// From here on: the page.

function show(view, doc) {
  const canvas = view.querySelector(".canvas");
  const panel = view.querySelector(".about");
  const tools = view.parentElement.querySelector(".tools");
  const options = { system: false, stacks: true };
  let made, svg, zoom = 0, chosen = null;

  function scale() {
    const fit = Math.max(0.5, Math.min(1, (canvas.clientWidth - 4) / made.width));
    const factor = fit * Math.pow(1.2, zoom);
    svg.setAttribute("width", Math.round(made.width * factor));
    svg.setAttribute("height", Math.round(made.height * factor));
  }

  function draw() {
    made = layout(doc, options);
    canvas.innerHTML = picture(made, "Who links what from where");
    svg = canvas.firstElementChild;
    scale();
    choose(chosen !== null && made.nodes.has(chosen) ? chosen : null);
  }

  function light(key) {
    svg.classList.toggle("one", key !== null);
    const near = new Set();
    for (const line of svg.querySelectorAll(".edge, .tie")) {
      const lit = key !== null && (line.dataset.from === key || line.dataset.to === key);
      line.classList.toggle("lit", lit);
      if (lit) {
        near.add(line.dataset.from).add(line.dataset.to);
      }
    }
    for (const node of svg.querySelectorAll(".node")) {
      node.classList.toggle("near", near.has(node.dataset.key));
      node.classList.toggle("chosen", node.dataset.key === key);
    }
  }

  function element(key) {
    return [...svg.querySelectorAll(".node")].find((node) => node.dataset.key === key);
  }

  function choose(key, focus) {
    chosen = key;
    panel.hidden = key === null;
    light(key);
    if (key === null) {
      return;
    }
    panel.innerHTML = about(doc, made, key);
    const node = element(key);
    for (const other of svg.querySelectorAll('.node[tabindex="0"]')) {
      other.setAttribute("tabindex", "-1");
    }
    node.setAttribute("tabindex", "0");
    if (focus) {
      node.focus();
      node.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  function step(from, dx, dy) {
    let best = null, least = Infinity;
    for (const node of made.nodes.values()) {
      const along = (node.x - from.x) * dx + (node.y - from.y) * dy;
      const aside = Math.abs((node.x - from.x) * dy) + Math.abs((node.y - from.y) * dx);
      if (along > 0 && along + 3 * aside < least) {
        least = along + 3 * aside;
        best = node;
      }
    }
    return best;
  }

  canvas.addEventListener("click", (event) => {
    const node = event.target.closest(".node");
    choose(node && node.dataset.key !== chosen ? node.dataset.key : null);
  });
  canvas.addEventListener("keydown", (event) => {
    const node = event.target.closest(".node");
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape") {
      choose(null);
    } else if (node && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      choose(node.dataset.key);
    } else if (node && moves[event.key]) {
      event.preventDefault();
      const next = step(made.nodes.get(node.dataset.key), ...moves[event.key]);
      if (next) {
        choose(next.key, true);
      }
    }
  });
  panel.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-key]");
    if (button) {
      choose(button.dataset.key, true);
    }
  });
  tools.addEventListener("click", (event) => {
    const by = { out: -1, in: 1 }[event.target.dataset.zoom];
    if (by) {
      zoom += by;
      scale();
    }
  });
  tools.addEventListener("change", (event) => {
    const { name, checked } = event.target;
    if (name === "system" || name === "all") {
      options.system = name === "system" ? checked : options.system;
      options.stacks = name === "all" ? !checked : options.stacks;
      draw();
    }
  });
  tools.querySelector("[name=find]").addEventListener("input", (event) => {
    const text = event.target.value.trim().toLowerCase();
    const hit = text && [...made.nodes.values()].find((node) => node.name.toLowerCase().includes(text));
    choose(hit ? hit.key : null);
    if (hit) {
      element(hit.key).scrollIntoView({ block: "center", inline: "center" });
    }
  });
  window.addEventListener("resize", scale);
  draw();
}

function filters() {
  const form = document.querySelector("#filters");
  if (!form) {
    return;
  }
  const items = [...document.querySelectorAll(".finding[data-code]")];
  const told = document.querySelector("#shown");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const data = new FormData(form);
    const severities = new Set(data.getAll("severity"));
    const text = String(data.get("text")).trim().toLowerCase();
    let shown = 0;
    for (const item of items) {
      const owners = item.dataset.owners.split("\n");
      item.hidden = !(severities.has(item.dataset.severity)
        && (!data.get("code") || data.get("code") === item.dataset.code)
        && (!data.get("owner") || owners.includes(data.get("owner")))
        && (!text || item.textContent.toLowerCase().includes(text)));
      shown += item.hidden ? 0 : 1;
    }
    told.textContent = `${shown} of ${items.length} shown`;
  });
}

if (typeof document !== "undefined") {
  for (const view of document.querySelectorAll(".view")) {
    show(view, JSON.parse(document.getElementById(view.dataset.from).textContent));
  }
  filters();
}
