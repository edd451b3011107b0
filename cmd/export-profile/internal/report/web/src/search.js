// The search for store paths. A path matches if it contains all words.
import { button, element } from './dom.js'
import { bySize, count, size } from './model.js'

const maxResults = 12

export function drawSearch(input, results, status, model, pick, match) {
  const texts = model.objects.map(o => o.path.toLowerCase())
  let found = []
  function search() {
    const words = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean)
    found = words.length === 0 ? []
      : model.objects.filter(o => words.every(w => texts[o.i].includes(w))).sort(bySize)
    results.replaceChildren(...found.slice(0, maxResults).map(o =>
      element('li', {}, button(o), ' ', element('span', { class: 'figure' }, size(o.size)))))
    const more = found.length > maxResults ? `; the ${maxResults} largest are shown` : ''
    status.textContent = words.length === 0 ? '' : `${found.length} of ${count(model.objects.length, 'path')} found${more}`
    match(words.length === 0 ? null : new Set(found))
  }
  input.addEventListener('input', search)
  input.addEventListener('keydown', event => {
    if (event.key === 'Enter' && found.length > 0) pick(found[0])
    else if (event.key === 'Escape') input.value = ''
    else return
    event.preventDefault()
    if (event.key === 'Escape') search()
  })
}
