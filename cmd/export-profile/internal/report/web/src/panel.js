// The panel with the details of the chosen object: why it is in the image, and what would leave with it.
import { button, element } from './dom.js'
import { bySize, chain, count, leaving, share, size } from './model.js'

const maxEntries = 200 // of a list

export function drawPanel(place, model) {
  return o => place.replaceChildren(...(o ? about(model, o) : overview(model)))
}

// overview returns the panel while no object is chosen: the objects that would take the most bytes with them.
function overview(model) {
  const first = model.objects.filter(o => !model.roots.includes(o) && (!o.dominator || model.roots.includes(o.dominator)))
    .sort((a, b) => b.exclusive - a.exclusive || a.i - b.i).slice(0, 10)
  return [
    element('h2', {}, 'What could leave'),
    element('p', {}, 'Choose a package anywhere on this page to see what brings it in. These would take the most with them:'),
    element('ol', { class: 'plain' }, ...first.map(o => entry(o, size(o.exclusive)))),
  ]
}

function about(model, o) {
  const way = chain(o)
  const gone = leaving(o)
  const last = model.layers[o.layer]
  return [
    element('h2', { tabindex: -1 }, o.name),
    element('p', { class: 'path' }, model.storeDir + '/' + o.path),
    element('dl', {},
      ...fact('own size', `${size(o.size)}, ${share(model, o.size)}`),
      ...fact('with all it needs', size(o.closure)),
      ...fact('without it', `${count(gone.length, 'path')} would leave, ${size(o.exclusive)}`),
      ...(last ? fact('layer', last.title + (last.state ? ', ' + last.state : '')) : []),
      ...(o.new ? fact('since the previous image', 'new') : [])),
    element('h3', {}, 'Why it is here'),
    way.length === 1
      ? element('p', {}, 'It is the profile itself.')
      : element('ol', { class: 'chain' }, ...way.map(step => element('li', step === o ? { 'aria-current': 'true' } : {}, button(step)))),
    ...list('Needs', o.references),
    ...list('Needed by', o.users),
    ...list('Would leave with it', gone.filter(g => g !== o)),
    element('p', {}, element('button', { type: 'button', class: 'clear' }, 'Clear')),
  ]
}

const fact = (name, value) => [element('dt', {}, name), element('dd', {}, value)]

const entry = (o, figure) => element('li', {}, button(o), ' ', element('span', { class: 'figure' }, figure))

function list(title, objects) {
  if (objects.length === 0) return []
  const sorted = [...objects].sort(bySize)
  const more = sorted.length - maxEntries
  return [element('details', objects.length <= 6 ? { open: '' } : {},
    element('summary', {}, `${title}: ${objects.length}`),
    element('ul', { class: 'plain' }, ...sorted.slice(0, maxEntries).map(r => entry(r, size(r.size))),
      ...(more > 0 ? [element('li', {}, `and ${more} more`)] : [])))]
}

// spoken returns the same in short sentences for screen readers.
export function spoken(o) {
  const way = chain(o), gone = leaving(o)
  const why = way.length === 1 ? 'the profile itself' : 'brought in by ' + way.slice(0, -1).map(s => s.name).join(', then ')
  return `${o.name}: ${why}. Without it, ${count(gone.length, 'path')} would leave, ${size(o.exclusive)}.`
}
