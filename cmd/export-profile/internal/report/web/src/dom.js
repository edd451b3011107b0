// element creates an element. String children become text, never markup.
export function element(tag, attributes, ...children) {
  const e = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes ?? {})) e.setAttribute(name, value)
  e.append(...children)
  return e
}

// button creates a button that chooses an object.
export function button(o, ...more) {
  return element('button', { type: 'button', class: 'pick', 'data-object': o.i }, o.name, ...more)
}

// truncate cuts a text to a width in pixels. It estimates the width of letters.
export function truncate(text, width, fontSize) {
  const fits = Math.floor(width / (fontSize * 0.62))
  if (text.length <= fits) return text
  return fits > 3 ? text.slice(0, fits - 1) + '…' : ''
}
