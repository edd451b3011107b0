// element makes an element. What is in it is text, never markup.
export function element(tag, attributes, ...children) {
  const e = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes ?? {})) e.setAttribute(name, value)
  e.append(...children)
  return e
}

// button is one that chooses an object.
export function button(o, ...more) {
  return element('button', { type: 'button', class: 'pick', 'data-object': o.i }, o.name, ...more)
}

// fitted is a text that is cut to a width, about as wide as its letters are.
export function fitted(text, width, fontSize) {
  const most = Math.floor(width / (fontSize * 0.62))
  if (text.length <= most) return text
  return most > 3 ? text.slice(0, most - 1) + '…' : ''
}
