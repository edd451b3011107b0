// The table of store paths. The page has the rows of the largest; this code sorts, filters and extends it.
import { button, element } from './dom.js'
import { bySize, count, maxElements, size } from './model.js'

const values = {
  name: o => o.name, size: o => o.size, closure: o => o.closure, exclusive: o => o.exclusive,
  users: o => o.users.length, layer: o => o.layer,
}
const words = new Intl.Collator('en', { numeric: true })

// newRow returns the row of an object. It is like those that export-profile writes.
function newRow(model, o) {
  const number = text => element('td', { class: 'number' }, text)
  return element('tr', { 'data-object': o.i },
    element('th', { scope: 'row' }, button(o), ...(o.new ? [' ', element('span', { class: 'new' }, 'new')] : []), element('small', {}, o.path)),
    number(size(o.size)), number(size(o.closure)), number(size(o.exclusive)), number(`${o.users.length}`),
    number(model.layers[o.layer]?.title.replace(/^layer /, '') ?? '–'))
}

export function drawTable(table, more, model, status) {
  const body = table.tBodies[0]
  const rows = [] // of objects, made when they are first shown
  for (const row of body.rows) rows[row.dataset.object] = row
  const rowOf = o => rows[o.i] ??= newRow(model, o)
  const ofSize = [...model.objects].sort(bySize)
  let order = ofSize, matched = null, chosen = null, limit = maxElements, shown = ofSize.slice(0, limit)

  // show puts the rows into the table. A page with few rows keeps all of them, and hides some.
  function show() {
    const all = matched === null ? order : order.filter(o => matched.has(o))
    const next = more ? all.slice(0, limit) : order
    if (next.length !== shown.length || next.some((o, i) => o !== shown[i])) body.replaceChildren(...next.map(rowOf))
    shown = next
    mark()
    if (!more) {
      for (const o of order) rows[o.i].hidden = matched !== null && !matched.has(o)
      return
    }
    const rest = all.length - shown.length
    more.replaceChildren(`${shown.length} of ${count(all.length, 'store path')} shown. `)
    if (rest === 0) return
    const extend = element('button', { type: 'button', class: 'extend' }, `Show ${Math.min(rest, maxElements)} more`)
    extend.addEventListener('click', () => {
      const last = shown.at(-1)
      limit += maxElements
      show()
      rowOf(last).nextElementSibling?.querySelector('button').focus() // the keyboard goes on with the first new row
    })
    more.append(extend)
  }

  function mark() {
    for (const row of body.querySelectorAll('.chosen')) row.classList.remove('chosen')
    if (chosen) rows[chosen.i]?.classList.add('chosen')
  }

  for (const th of table.tHead.rows[0].cells) {
    const value = values[th.dataset.sort]
    th.querySelector('button').addEventListener('click', () => {
      const text = typeof value(model.objects[0]) === 'string'
      const descending = th.hasAttribute('aria-sort') ? th.getAttribute('aria-sort') === 'ascending' : !text
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort')
      th.setAttribute('aria-sort', descending ? 'descending' : 'ascending')
      const sign = descending ? -1 : 1
      order = [...model.objects].sort((a, b) => {
        const [x, y] = [value(a), value(b)]
        return sign * (text ? words.compare(x, y) : x - y) || a.i - b.i
      })
      limit = maxElements
      show()
      status.textContent = `sorted by ${th.textContent}, ${descending ? 'descending' : 'ascending'}`
    })
  }
  if (more) show()
  return {
    choose(o) {
      chosen = o
      mark()
    },
    match(set) {
      matched = set
      limit = maxElements
      show()
    },
  }
}
