// The treemap of sizes: by package, by layer, or by what brings an object in.
import { hierarchy, treemap, treemapSquarify } from 'd3-hierarchy'
import { pointer, select } from 'd3-selection'
import { truncate } from './dom.js'
import { count, kinds, leaving, maxElements, share, size } from './model.js'

const header = 18 // height of a group's title, in pixels
const minSide = 2 // pixels; smaller cells are not drawn

// groups has a function for each mode. It returns the cells to draw, or groups of cells.
const groups = {
  package: ({ objects, layers }) => [
    ...objects.map(leaf),
    ...layers.flatMap(l => l.parts.filter(p => p.object === undefined).map(leafOf)),
  ],
  layer: ({ objects, layers }) => layers.map(l => ({
    name: `${l.title}${l.state ? ', ' + l.state : ''}`,
    children: l.parts.map(p => p.object === undefined ? leafOf(p) : leaf(objects[p.object])),
  })),
  reason: ({ roots }) => {
    let top = roots
    while (top.length === 1 && top[0].dominates.length === 1) top = top[0].dominates
    const alone = o => ({ name: o.name, children: leaving(o).map(leaf) })
    if (top.length > 1) return top.map(alone)
    return [...roots.map(leaf), ...roots.flatMap(r => below(r, top[0])).map(leaf),
      ...top[0].dominates.map(o => o.dominates.length ? alone(o) : leaf(o))]
  },
}

// below returns the objects from top up to root along their dominators, without root.
function below(root, top) {
  const all = []
  for (let o = top; o !== root; o = o.dominator) all.push(o)
  return all
}

const leaf = o => ({ name: o.name, size: o.size, kind: o.kind, object: o })
const leafOf = p => ({ name: p.title, size: p.size, kind: 'other' })

// Large cells are elements. All smaller ones of a kind are one path, and the mouse finds them by their place.
export function drawTreemap(place, model, pick) {
  const svg = select(place).append('svg').attr('role', 'listbox').attr('aria-label', 'Treemap. Arrow keys move, Enter chooses.')
  const patterns = svg.append('defs').append('pattern').attr('id', 'new').attr('width', 6).attr('height', 6)
    .attr('patternUnits', 'userSpaceOnUse').attr('patternTransform', 'rotate(45)')
  patterns.append('rect').attr('class', 'hatch').attr('width', 2).attr('height', 6)
  const field = svg.append('g').attr('role', 'none')
  const small = svg.append('g').attr('class', 'dots').attr('role', 'none')
  const smallTitle = small.append('title')
  const border = svg.append('rect').attr('class', 'border').attr('role', 'none')
  let width = 0, mode = 'package', chosen = null, matched = null, cells = [], dots = []

  function draw() {
    if (width === 0) return
    const height = Math.round(Math.min(620, Math.max(340, width * 0.56)))
    svg.attr('viewBox', `0 0 ${width} ${height}`)
    const root = hierarchy({ name: '', children: groups[mode](model) }).sum(d => d.size ?? 0)
      .sort((a, b) => b.value - a.value)
    const titled = d => d.depth > 0 && d.children && d.x1 - d.x0 > 56 && d.y1 - d.y0 > 44
    treemap().tile(treemapSquarify).size([width, height]).round(true).paddingInner(1)
      .paddingOuter(d => d.depth > 0 ? 1 : 0).paddingTop(d => titled(d) ? header : d.depth > 0 ? 1 : 0)(root)
    const big = d => d.x1 - d.x0 >= minSide && d.y1 - d.y0 >= minSide
    const leaves = root.leaves()
    const drawn = leaves.filter(d => d.data.size > 0 && big(d))
    const large = new Set([...drawn].sort((a, b) => b.value - a.value).slice(0, maxElements))
    cells = drawn.filter(d => large.has(d))
    dots = drawn.filter(d => !large.has(d))

    field.selectAll('*').remove()
    const group = field.selectAll('g.group').data((root.children ?? []).filter(d => d.children && big(d))).join('g').attr('class', 'group').attr('role', 'none')
    group.append('rect').attr('x', d => d.x0).attr('y', d => d.y0)
      .attr('width', d => d.x1 - d.x0).attr('height', d => d.y1 - d.y0)
    group.filter(titled).append('text').attr('x', d => d.x0 + 4).attr('y', d => d.y0 + 13)
      .text(d => truncate(`${d.data.name} · ${size(d.value)}`, d.x1 - d.x0 - 8, 12.5))
    group.append('title').text(d => `${d.data.name}: ${size(d.value)}, ${share(model, d.value)}`)

    drawCells()
    drawDots()
    place.nextElementSibling.textContent = leaves.length > drawn.length
      ? `${count(leaves.length - drawn.length, 'path')} too small to draw; the table has them all.` : ''
    mark()
  }

  function drawCells() {
    const cell = field.selectAll('g.cell').data(cells).join('g')
      .attr('class', d => `cell ${d.data.kind}`)
      .attr('role', 'option').attr('tabindex', -1)
      .attr('data-object', d => d.data.object?.i)
      .attr('transform', d => `translate(${d.x0},${d.y0})`)
    cell.append('title').text(describe) // screen readers read it, too
    cell.append('rect').attr('width', d => d.x1 - d.x0).attr('height', d => d.y1 - d.y0)
    cell.filter(d => d.data.object?.new).append('rect').attr('class', 'new')
      .attr('width', d => d.x1 - d.x0).attr('height', d => d.y1 - d.y0)
    cell.filter(d => d.y1 - d.y0 > 16 && d.x1 - d.x0 > 30).append('text').attr('x', 4).attr('y', 13)
      .text(d => truncate(d.data.name, d.x1 - d.x0 - 8, 12))
    cell.filter(d => d.y1 - d.y0 > 34 && d.x1 - d.x0 > 60).append('text').attr('class', 'small').attr('x', 4).attr('y', 28)
      .text(d => truncate(`${size(d.data.size)} · ${share(model, d.data.size)}`, d.x1 - d.x0 - 8, 11))
    cell.on('click', (_, d) => d.data.object && pick(d.data.object)).on('keydown', onKey)
    field.select('g.cell').attr('tabindex', 0)
  }

  const outline = some => some.map(d => `M${d.x0},${d.y0}H${d.x1}V${d.y1}H${d.x0}Z`).join('')

  // drawDots draws the small cells: of each kind those that match a search, and those that don't.
  function drawDots() {
    const groups = []
    for (const kind of Object.keys(kinds)) {
      for (const matches of [true, false]) {
        const some = dots.filter(d => d.data.kind === kind && matches === (matched === null || matched.has(d.data.object)))
        if (some.length) groups.push({ class: kind + (matches ? '' : ' dim'), some })
      }
    }
    const fresh = dots.filter(d => d.data.object?.new)
    if (fresh.length) groups.push({ class: 'new', some: fresh })
    small.selectAll('path').data(groups).join('path').attr('class', g => g.class).attr('d', g => outline(g.some))
  }

  // dotAt returns the small cell below the mouse.
  function dotAt(event) {
    const [x, y] = pointer(event, small.node())
    return dots.find(d => d.x0 <= x && x < d.x1 && d.y0 <= y && y < d.y1)
  }
  small.on('mousemove', event => {
    const d = dotAt(event)
    smallTitle.text(d ? describe(d) : '')
  }).on('click', event => {
    const o = dotAt(event)?.data.object
    if (o) pick(o)
  })

  const describe = ({ data: { name, size: bytes, kind, object } }) =>
    `${name}: ${size(bytes)}, ${share(model, bytes)}; ${kinds[kind]}${object?.new ? '; new since the previous image' : ''}`

  // onKey moves the focus to the nearest cell in a direction, or chooses a cell.
  function onKey(event, d) {
    const centre = c => [(c.x0 + c.x1) / 2, (c.y0 + c.y1) / 2]
    const [x, y] = centre(d)
    const towards = {
      ArrowRight: c => [c.x0 - d.x1, Math.abs(centre(c)[1] - y)], ArrowLeft: c => [d.x0 - c.x1, Math.abs(centre(c)[1] - y)],
      ArrowDown: c => [c.y0 - d.y1, Math.abs(centre(c)[0] - x)], ArrowUp: c => [d.y0 - c.y1, Math.abs(centre(c)[0] - x)],
    }[event.key]
    let to = null
    if (event.key === 'Home') to = cells[0]
    else if (event.key === 'End') to = cells.at(-1)
    else if (event.key === 'Enter' || event.key === ' ') d.data.object && pick(d.data.object)
    else if (towards) {
      let best = Infinity
      for (const c of cells) {
        const [ahead, aside] = towards(c)
        if (c !== d && ahead >= -1 && ahead + 2 * aside < best) [best, to] = [ahead + 2 * aside, c]
      }
    } else return
    event.preventDefault()
    if (!to) return
    field.selectAll('g.cell').attr('tabindex', c => c === to ? 0 : -1).filter(c => c === to).node().focus()
  }

  function mark() {
    field.selectAll('g.cell')
      .classed('chosen', d => chosen !== null && d.data.object === chosen)
      .attr('aria-selected', d => chosen !== null && d.data.object === chosen)
      .classed('dim', d => matched !== null && !matched.has(d.data.object))
    const cell = chosen && (cells.find(d => d.data.object === chosen) ?? dots.find(d => d.data.object === chosen))
    border.attr('visibility', cell ? null : 'hidden')
    if (cell) border.attr('x', cell.x0).attr('y', cell.y0).attr('width', cell.x1 - cell.x0).attr('height', cell.y1 - cell.y0)
  }

  // Asking for the size would lay out the whole page. The observer gets it for free.
  new ResizeObserver(([{ contentRect }]) => {
    const next = Math.max(Math.floor(contentRect.width), 280)
    if (next === width) return
    width = next
    draw()
  }).observe(place)
  return {
    show(next) { mode = next; draw() },
    choose(o) { chosen = o; mark() },
    match(set) { matched = set; mark(); drawDots() },
  }
}
