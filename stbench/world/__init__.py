"""Story World: a small cartoon world whose every pixel is known.

A renderer draws one *character* (a species with a free look: colour and accessory) in a place, doing an action, at a shot
size. Prompts name species, place, action and shot size; they never mention the look, so only memory can keep it across
shots. Pure NumPy and Pillow; nothing in it is random at run time.
"""
