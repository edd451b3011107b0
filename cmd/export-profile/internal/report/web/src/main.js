// The page. All its parts show the chosen object and the results of a search. The address has the chosen object, so that a link can be shared.
import { button } from './dom.js'
import { drawGraph } from './graph.js'
import { read } from './model.js'
import { drawPanel, spoken } from './panel.js'
import { drawSearch } from './search.js'
import { drawTable } from './table.js'
import { drawTreemap } from './treemap.js'

const $ = id => document.getElementById(id)
const model = read(JSON.parse($('data').textContent))
document.documentElement.classList.add('live')

const status = $('status')
const panel = drawPanel($('panel'), model)
const parts = [
  drawTable($('paths'), $('more'), model, status),
  drawTreemap($('map'), model, pick),
  drawGraph($('graph'), model, pick),
]
const [, treemap, graph] = parts
drawSearch($('search'), $('results'), status, model, pick, set => parts.forEach(p => p.match(set)))

const byPath = new Map(model.objects.map(o => [o.path, o]))
let chosen

function choose(o, say) {
  if (o === chosen) return
  chosen = o
  panel(o)
  parts.forEach(p => p.choose(o))
  if (say) $('said').textContent = o ? spoken(o) : 'no object is chosen'
}

// pick also changes the address, so that the browser's back button returns to the previous object.
function pick(o) {
  location.hash = o ? '#' + o.path : '#nothing'
  choose(o, true)
  const place = $('panel')
  if (o && place.getBoundingClientRect().top < 0 && getComputedStyle(place.parentElement).position !== 'sticky') place.scrollIntoView()
}

function follow() {
  let path = location.hash.slice(1)
  try { path = decodeURIComponent(path) } catch { /* not an address of this page */ }
  const o = byPath.get(path)
  if (o || path === '' || path === 'nothing') choose(o ?? null, false)
}

// showParts replaces a button by the parts of a layer that the page leaves out.
function showParts(rest, layer) {
  const parts = layer.parts.slice(rest.dataset.shown)
  rest.replaceWith(...parts.flatMap(p => [', ', p.object === undefined ? p.title : button(model.objects[p.object])]).slice(1))
}

addEventListener('hashchange', follow)
document.addEventListener('click', event => {
  const target = event.target.closest('button.pick, button.clear, button.parts')
  if (target?.matches('.parts')) showParts(target, model.layers[target.dataset.layer])
  else if (target) pick(target.matches('.pick') ? model.objects[target.dataset.object] : null)
})
for (const radio of document.querySelectorAll('input[name=by]')) {
  radio.addEventListener('change', () => treemap.show(radio.value))
  if (radio.checked) treemap.show(radio.value) // a browser may restore the choice
}
$('all').addEventListener('change', event => graph.all(event.target.checked))
graph.all($('all').checked)
for (const name of ['larger', 'smaller', 'whole']) $(name).addEventListener('click', graph[name])
addEventListener('beforeprint', () => document.querySelectorAll('details.contents').forEach(d => { d.open = true }))

follow()
if (chosen === undefined) choose(null, false)
