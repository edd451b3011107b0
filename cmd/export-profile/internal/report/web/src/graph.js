// The graph of references. Each object hangs from its predecessor on the shortest chain from the profile,
// so the line to the middle shows why the object is in the image. For the chosen object, all references are drawn.
// The largest objects are elements, and so are those that have to do with the chosen one.
// The others of a kind are one path of dots, and the mouse finds them by their place.
import { hierarchy, tree } from 'd3-hierarchy'
import { pointer, select } from 'd3-selection'
import 'd3-transition'
import { linkRadial, pointRadial } from 'd3-shape'
import { zoom, zoomIdentity } from 'd3-zoom'
import { truncate } from './dom.js'
import { bySize, chain, count, kinds, maxElements, size } from './model.js'

const spacing = 13 // distance of dots on a ring
const ring = 96 // smallest distance of rings
const fontSize = 10
const maxLandmarks = 10 // dots with names while no object is chosen
const landmarkLetters = 22 // longest name of these
const chainScale = 1.1 // largest scale to show a chain
const chainMargin = 130 // pixels around a chain
const maxNear = 200 // references, and as many users, of the chosen object that become elements

export function drawGraph(place, model, pick) {
  const top = model.roots.length === 1 ? model.roots[0] : { next: model.roots, size: 0 }
  const root = hierarchy(top, o => o.next)
  const widths = []
  root.each(d => { widths[d.depth] = (widths[d.depth] ?? 0) + 1 })
  const radii = [0]
  for (const n of widths.slice(1)) radii.push(Math.max(radii.at(-1) + ring, n * spacing / (2 * Math.PI)))
  tree().size([2 * Math.PI, 1]).separation((a, b) => (a.parent === b.parent ? 1 : 1.6) / a.depth)(root)
  root.each(d => { d.y = radii[d.depth] })
  const nodes = root.descendants().filter(d => d.data.i !== undefined)
  const at = []
  for (const d of nodes) {
    [d.px, d.py] = pointRadial(d.x, d.y)
    d.place = `${Math.round(d.px)},${Math.round(d.py)}`
    at[d.data.i] = d
  }
  const isRoot = d => d.data.kind === 'root'
  const ofSize = [...nodes].sort((a, b) => isRoot(b) - isRoot(a) || bySize(a.data, b.data))
  const always = ofSize.slice(0, maxElements)
  const dots = ofSize.slice(maxElements)
  const largest = model.objects.reduce((most, o) => Math.max(most, o.size), 1)
  const dot = o => 3 + 13 * Math.sqrt(o.size / largest)

  const svg = select(place).append('svg').attr('role', 'tree')
    .attr('aria-label', 'Graph of references. Left and right arrow keys follow the shortest chains, up and down move between neighbours, Enter chooses.')
  const field = svg.append('g').attr('role', 'none')
  const radial = linkRadial().angle(d => d.x).radius(d => d.y)
  // The middle has no angle, so lines that start there are straight.
  const link = ({ source, target }) => radial({ source: source.y === 0 ? { x: target.x, y: 0 } : source, target })
  field.append('path').attr('class', 'links').attr('d', root.links().map(link).join(''))
  const every = field.append('path').attr('class', 'every')
  const around = field.append('g').attr('class', 'around')
  const way = field.append('g').attr('class', 'way')
  const rest = field.append('g').attr('class', 'dots')
  const restTitle = rest.append('title')
  const elements = field.append('g').attr('role', 'none')
  // Names run outwards from their dots and are never upside down.
  const outwards = d => d.depth === 0 ? 0 : d.x * 180 / Math.PI - 90
  const turned = d => d.depth && d.x >= Math.PI
  const names = field.append('g').attr('class', 'names')
  let last = nodes[0] // the keyboard's
  let matched = null
  let node
  draw([])

  // draw makes elements of the objects that always are, and of some more. In the order of the tree, they are read aloud in that order.
  function draw(more) {
    const some = dots.length === 0 ? nodes : [...new Set([...always, last, ...more])].sort((a, b) => a.data.i - b.data.i)
    node = elements.selectAll('g.node').data(some, d => d.data.i).join(newNode).order()
    node.attr('tabindex', d => d === last ? 0 : -1).classed('dim', d => matched !== null && !matched.has(d.data))
  }

  function newNode(enter) {
    const g = enter.append('g')
      .attr('class', d => `node ${d.data.kind}`)
      .attr('role', 'treeitem').attr('tabindex', -1)
      .attr('aria-level', d => d.depth + 1)
      .attr('aria-label', d => `${d.data.name}: ${size(d.data.size)}, ${kinds[d.data.kind]}, ${count(d.data.next.length, 'package')} below`)
      .attr('data-object', d => d.data.i)
      .attr('transform', d => `translate(${d.px},${d.py})`)
    g.append('circle').attr('r', d => dot(d.data))
    g.append('title').text(describe)
    g.append('text').attr('dy', '.32em')
      .attr('transform', d => `rotate(${outwards(d)}) translate(${(dot(d.data) + 4)},0)${turned(d) ? ' rotate(180)' : ''}`)
      .attr('text-anchor', d => turned(d) ? 'end' : 'start')
      .text(d => d.depth === radii.length - 1 ? d.data.name : truncate(d.data.name, radii[d.depth + 1] - d.y - dot(d.data) - 6, fontSize))
    return g.on('click', (_, d) => pick(d.data)).on('keydown', onKey)
  }

  function describe(d) { return `${d.data.name}: ${size(d.data.size)}; ${kinds[d.data.kind]}` }

  // drawDots draws the others: of each kind those that match a search, and those that don't.
  function drawDots() {
    const groups = []
    for (const kind of Object.keys(kinds)) {
      for (const matches of [true, false]) {
        const some = dots.filter(d => d.data.kind === kind && matches === (matched === null || matched.has(d.data)))
        if (some.length) groups.push({ class: kind + (matches ? '' : ' dim'), some })
      }
    }
    rest.selectAll('path').data(groups).join('path').attr('class', g => g.class)
      .attr('d', g => g.some.map(d => `M${d.place}h0`).join(''))
  }
  drawDots()

  // dotAt returns the dot below the mouse.
  function dotAt(event) {
    const [x, y] = pointer(event, rest.node())
    let nearest = null, least = Infinity
    for (const d of dots) {
      const distance = (d.px - x) ** 2 + (d.py - y) ** 2
      if (distance < least) [least, nearest] = [distance, d]
    }
    return nearest
  }
  rest.on('mousemove', event => restTitle.text(describe(dotAt(event)))).on('click', event => pick(dotAt(event).data))

  let width = 0, height = 0, chosen = null
  const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)')
  const zooming = zoom().scaleExtent([0.01, 8])
    // Without Ctrl or Meta, the wheel scrolls the page.
    .filter(event => event.type === 'wheel' ? event.ctrlKey || event.metaKey : !event.button)
    .on('zoom', ({ transform }) => {
      field.attr('transform', transform)
      svg.classed('named', transform.k * fontSize > 7)
      names.attr('font-size', 13 / transform.k)
      way.attr('stroke-width', 3 / transform.k)
      around.attr('stroke-width', 1.2 / transform.k)
      field.style('--thin', 1 / transform.k).style('--dot', Math.max(1, Math.min(4, 0.7 / transform.k)))
    })
  svg.call(zooming)

  // A large graph jumps, since browsers need too long for each picture of it.
  const moving = () => reducedMotion.matches || dots.length > 0 ? svg : svg.transition().duration(250)
  const moveTo = transform => moving().call(zooming.transform, transform)

  // fitTo returns the transform that shows these nodes, at a scale of at most maxScale.
  function fitTo(some, maxScale, margin) {
    let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity
    for (const d of some) [x0, x1, y0, y1] = [Math.min(x0, d.px), Math.max(x1, d.px), Math.min(y0, d.py), Math.max(y1, d.py)]
    const k = Math.min(maxScale, (width - 2 * margin) / Math.max(x1 - x0, 1), (height - 2 * margin) / Math.max(y1 - y0, 1))
    return zoomIdentity.translate(width / 2, height / 2).scale(k).translate(-(x0 + x1) / 2, -(y0 + y1) / 2)
  }
  const whole = () => fitTo(nodes, 2, nodes.length < 60 ? 120 : 40)

  // landmarks returns the largest objects whose names do not overlap while the whole graph is shown.
  function landmarks() {
    const { k } = whole()
    const some = []
    for (const d of [...always].sort((a, b) => bySize(a.data, b.data))) {
      if (some.every(e => Math.abs(d.py - e.py) * k > 18 || Math.abs(d.px - e.px) * k > 3.6 * (Math.min(d.data.name.length, landmarkLetters) + Math.min(e.data.name.length, landmarkLetters)) + 10)) some.push(d)
      if (some.length === maxLandmarks) break
    }
    return some
  }

  function fit([{ contentRect }]) {
    const next = Math.max(Math.floor(contentRect.width), 280)
    if (next === width) return
    width = next
    height = Math.round(Math.min(680, Math.max(380, width * 0.68)))
    svg.attr('viewBox', `0 0 ${width} ${height}`)
    zooming.extent([[0, 0], [width, height]])
    svg.call(zooming.transform, chosen ? fitTo(chain(chosen).map(o => at[o.i]), chainScale, chainMargin) : whole())
    choose(chosen)
  }

  function onKey(event, d) {
    const siblings = d.parent?.children ?? [d]
    const place = siblings.indexOf(d)
    const to = {
      ArrowLeft: d.parent, ArrowRight: d.children?.[0],
      ArrowUp: siblings[place - 1], ArrowDown: siblings[place + 1],
      Home: siblings[0], End: siblings.at(-1),
    }
    if (event.key === 'Enter' || event.key === ' ') pick(d.data)
    else if (!(event.key in to)) return
    event.preventDefault()
    const next = to[event.key]
    if (!next || next.data.i === undefined) return
    focusable(next)
    node.filter(n => n === next).node().focus()
    svg.call(zooming.translateTo, next.px, next.py)
  }

  function focusable(d) {
    last = d
    if (node.filter(n => n === d).empty()) draw(node.data())
    else node.attr('tabindex', n => n === d ? 0 : -1)
  }

  // straight returns the path of a straight line.
  const straight = (a, b) => `M${a.place}L${b.place}`

  function choose(o) {
    chosen = o
    const steps = o ? chain(o).map(o => at[o.i]) : []
    const on = new Set(steps)
    const largestOf = objects => dots.length === 0 ? objects : [...objects].sort(bySize).slice(0, maxNear)
    const near = new Set(o ? [...largestOf(o.references), ...largestOf(o.users)].map(r => at[r.i]) : [])
    if (o) last = at[o.i]
    svg.classed('choosing', o !== null)
    draw([...steps, ...near])
    node.classed('on', d => on.has(d)).classed('chosen', d => d.data === o).attr('aria-selected', d => d.data === o)
      .classed('near', d => near.has(d))
    way.selectAll('path').data(steps.slice(1)).join('path').attr('d', (d, i) => link({ source: steps[i], target: d }))
    around.selectAll('path').data(o ? [['uses', o.references], ['used', o.users]] : []).join('path')
      .attr('class', d => d[0]).attr('d', d => d[1].map(r => straight(at[o.i], at[r.i])).join(''))
    if (width === 0) return
    const named = o ? steps : landmarks()
    names.selectAll('text').data(named).join('text').attr('x', d => d.px).attr('y', d => d.py).attr('dy', '-.7em')
      .text(d => o ? d.data.name : truncate(d.data.name, landmarkLetters, 1 / 0.62))
    if (!o) return moveTo(whole())
    moveTo(fitTo(steps, chainScale, chainMargin))
  }

  new ResizeObserver(fit).observe(place)
  return {
    choose,
    match(set) {
      matched = set
      node.classed('dim', d => set !== null && !set.has(d.data))
      drawDots()
    },
    all(on) {
      let lines = ''
      if (on) for (const d of nodes) for (const r of d.data.references) lines += straight(d, at[r.i])
      every.attr('d', on ? lines : null)
    },
    larger: () => moving().call(zooming.scaleBy, 1.6),
    smaller: () => moving().call(zooming.scaleBy, 1 / 1.6),
    whole: () => moveTo(whole()),
  }
}
