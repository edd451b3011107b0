// The graph of references. Each object hangs from its predecessor on the shortest chain from the profile,
// so the line to the middle shows why the object is in the image. For the chosen object, all references are drawn.
import { hierarchy, tree } from 'd3-hierarchy'
import { select } from 'd3-selection'
import 'd3-transition'
import { linkRadial, pointRadial } from 'd3-shape'
import { zoom, zoomIdentity } from 'd3-zoom'
import { truncate } from './dom.js'
import { chain, count, kinds, size } from './model.js'

const spacing = 13 // distance of dots on a ring
const ring = 96 // smallest distance of rings
const fontSize = 10
const maxLandmarks = 10 // dots with names while no object is chosen
const landmarkLetters = 22 // longest name of these
const chainScale = 1.1 // largest scale to show a chain
const chainMargin = 130 // pixels around a chain

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
    at[d.data.i] = d
  }
  const largest = Math.max(...model.objects.map(o => o.size), 1)
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
  const node = field.selectAll('g.node').data(nodes).join('g')
    .attr('class', d => `node ${d.data.kind}`)
    .attr('role', 'treeitem').attr('tabindex', -1)
    .attr('aria-level', d => d.depth + 1)
    .attr('aria-label', d => `${d.data.name}: ${size(d.data.size)}, ${kinds[d.data.kind]}, ${count(d.data.next.length, 'package')} below`)
    .attr('data-object', d => d.data.i)
    .attr('transform', d => `translate(${d.px},${d.py})`)
  node.append('circle').attr('r', d => dot(d.data))
  node.append('title').text(d => `${d.data.name}: ${size(d.data.size)}; ${kinds[d.data.kind]}`)
  // Names run outwards from their dots and are never upside down.
  const outwards = d => d.depth === 0 ? 0 : d.x * 180 / Math.PI - 90
  const turned = d => d.x >= Math.PI
  node.append('text').attr('dy', '.32em')
    .attr('transform', d => `rotate(${outwards(d)}) translate(${(dot(d.data) + 4)},0)${turned(d) ? ' rotate(180)' : ''}`)
    .attr('text-anchor', d => turned(d) ? 'end' : 'start')
    .text(d => d.depth === radii.length - 1 ? d.data.name : truncate(d.data.name, radii[d.depth + 1] - d.y - dot(d.data) - 6, fontSize))
  const names = field.append('g').attr('class', 'names')
  node.on('click', (_, d) => pick(d.data)).on('keydown', onKey)
  let last = nodes[0]
  node.filter(d => d === last).attr('tabindex', 0)

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

  const moveTo = transform => (reducedMotion.matches ? svg : svg.transition().duration(250)).call(zooming.transform, transform)

  // fitTo returns the transform that shows these nodes, at a scale of at most maxScale.
  function fitTo(some, maxScale, margin) {
    const xs = some.map(d => d.px), ys = some.map(d => d.py)
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)]
    const k = Math.min(maxScale, (width - 2 * margin) / Math.max(x1 - x0, 1), (height - 2 * margin) / Math.max(y1 - y0, 1))
    return zoomIdentity.translate(width / 2, height / 2).scale(k).translate(-(x0 + x1) / 2, -(y0 + y1) / 2)
  }
  const whole = () => fitTo(nodes, 2, nodes.length < 60 ? 120 : 40)

  // landmarks returns the largest objects whose names do not overlap while the whole graph is shown.
  function landmarks() {
    const { k } = whole()
    const some = []
    for (const d of [...nodes].sort((a, b) => b.data.size - a.data.size || a.data.i - b.data.i)) {
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
    node.attr('tabindex', n => n === d ? 0 : -1)
  }

  // straight returns the path of a straight line.
  const straight = (a, b) => `M${a.px},${a.py}L${b.px},${b.py}`

  function choose(o) {
    chosen = o
    const steps = o ? chain(o).map(o => at[o.i]) : []
    const on = new Set(steps)
    svg.classed('choosing', o !== null)
    node.classed('on', d => on.has(d)).classed('chosen', d => d.data === o).attr('aria-selected', d => d.data === o)
      .classed('near', d => o !== null && (o.references.includes(d.data) || o.users.includes(d.data)))
    way.selectAll('path').data(steps.slice(1)).join('path').attr('d', (d, i) => link({ source: steps[i], target: d }))
    around.selectAll('path').data(o ? [['uses', o.references], ['used', o.users]] : []).join('path')
      .attr('class', d => d[0]).attr('d', d => d[1].map(r => straight(at[o.i], at[r.i])).join(''))
    if (width === 0) return
    const named = o ? steps : landmarks()
    names.selectAll('text').data(named).join('text').attr('x', d => d.px).attr('y', d => d.py).attr('dy', '-.7em')
      .text(d => o ? d.data.name : truncate(d.data.name, landmarkLetters, 1 / 0.62))
    if (!o) return moveTo(whole())
    focusable(at[o.i])
    moveTo(fitTo(steps, chainScale, chainMargin))
  }

  new ResizeObserver(fit).observe(place)
  return {
    choose,
    match(set) { node.classed('dim', d => set !== null && !set.has(d.data)) },
    all(on) {
      every.attr('d', on ? nodes.flatMap(d => d.data.references.map(r => straight(d, at[r.i]))).join('') : null)
    },
    larger: () => (reducedMotion.matches ? svg : svg.transition()).call(zooming.scaleBy, 1.6),
    smaller: () => (reducedMotion.matches ? svg : svg.transition()).call(zooming.scaleBy, 1 / 1.6),
    whole: () => moveTo(whole()),
  }
}
