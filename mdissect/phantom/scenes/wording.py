"""The words of the captions: phrases for the factor keys of natural scenes, as the shipped concept set writes them."""

# Things with other nouns than their name.
NOUNS = {
    "circle": ("circle", "disc"),
    "oval": ("oval shape", "oval"),
    "ring": ("ring shape", "ring"),
    "diamond": ("diamond shape", "diamond"),
    "heart": ("heart shape", "heart"),
    "boat": ("boat", "sailboat"),
    "car": ("car", "automobile"),
    "hot air balloon": ("hot air balloon", "balloon"),
    "mug": ("mug", "cup"),
    "moon": ("moon", "crescent moon"),
    "airplane": ("airplane", "plane"),
    "television": ("television", "TV set"),
    "house": ("house", "house with a roof"),
    "gift box": ("gift box", "present"),
    "hat": ("hat", "top hat"),
    "lightning": ("lightning", "lightning bolt"),
    "light bulb": ("light bulb", "bulb"),
    "fire": ("fire", "flame"),
    "grape": ("grape", "bunch of grapes"),
    "pine tree": ("pine tree", "fir tree"),
    "ladybug": ("ladybug", "ladybird"),
    "bicycle": ("bicycle", "bike"),
    "guitar": ("guitar", "acoustic guitar"),
    "shirt": ("shirt", "T-shirt"),
    "rabbit": ("rabbit", "bunny"),
    "raindrop": ("raindrop", "drop of water"),
}
# Things whose name is a general word, true of others as well: the noun asserts shows=<name>.
WIDE_NAMES = ("bird", "cloud", "flower", "sun", "tree")
# Kinds of thing -> nouns.
KINDS = {
    "animal": ("animal", "creature"),
    "bird": ("bird",),
    "building": ("building",),
    "cloud": ("cloud",),
    "clothing": ("piece of clothing",),
    "flower": ("flower", "blossom"),
    "fruit": ("fruit",),
    "furniture": ("piece of furniture",),
    "insect": ("insect",),
    "instrument": ("musical instrument",),
    "mammal": ("mammal",),
    "pet": ("pet",),
    "plant": ("plant",),
    "shape": ("geometric shape",),
    "sun": ("sun",),
    "tool": ("tool",),
    "tree": ("tree",),
    "vehicle": ("vehicle",),
    "wheel": ("wheel",),
}
PLURALS = {
    "fish": "fish",
    "leaf": "leaves",
    "sunglasses": "sunglasses",
    "lightning": "lightning bolts",
    "fire": "fires",
    "bunch of grapes": "bunches of grapes",
    "drop of water": "drops of water",
    "house with a roof": "houses with a roof",
    "piece of clothing": "pieces of clothing",
    "piece of furniture": "pieces of furniture",
}
# Last words of phrases without an article.
MASS = {
    *("sunglasses", "lightning", "fire", "snow", "woods", "asphalt", "fabric", "granite", "grain", "wood", "brick"),
    *("marble", "clouds", "grass", "fur", "sand", "water", "stone", "cobblestone", "metal", "steel", "wicker", "plaid"),
}

COLOUR_WORDS = {
    "red": ("red", "bright red"),
    "purple": ("purple", "violet"),
    "grey": ("grey", "gray"),
    "turquoise": ("turquoise", "cyan", "teal"),
    "beige": ("beige", "cream"),
    "navy blue": ("navy blue", "dark blue"),
    "sky blue": ("sky blue", "light blue"),
    "lime green": ("lime green", "light green"),
    "maroon": ("maroon", "dark red"),
}
# Texture -> adjectives of a thing; nouns for a surface.
TEXTURE_ADJECTIVES = {
    "plain": ("plain", "smooth"),
    "dotted": ("dotted", "polka dot"),
    "checkered": ("checkered", "checked"),
    "grainy": ("grainy", "noisy"),
    "woven": ("woven", "wicker"),
    "wood": ("wooden", "wood grain"),
    "grass": ("grassy", "grass"),
    "fur": ("furry", "fur"),
    "sand": ("sandy", "sand"),
    "water": ("watery", "water"),
    "stone": ("stone", "cobblestone"),
    "metal": ("metal", "steel"),
    "grid": ("grid pattern", "gridded"),
    "zigzag": ("zigzag",),
}
TEXTURE_NOUNS = {
    "plain": ("smooth surface", "plain surface"),
    "striped": ("striped pattern", "striped fabric"),
    "checkered": ("checkered pattern", "checkered fabric"),
    "dotted": ("polka dot pattern", "dotted fabric"),
    "grid": ("grid pattern",),
    "zigzag": ("zigzag pattern",),
    "wavy": ("wavy pattern",),
    "plaid": ("plaid", "plaid fabric"),
    "honeycomb": ("honeycomb", "honeycomb pattern"),
    "grainy": ("noise texture", "grain"),
    "granite": ("granite", "speckled granite"),
    "mosaic": ("mosaic", "tile"),
    "woven": ("woven basket", "wicker"),
    "brick": ("brick wall", "brick"),
    "wood": ("wood", "wood grain", "wooden plank"),
    "marble": ("marble",),
    "cloudy": ("cloudy texture", "billowing clouds"),
    "grass": ("grass",),
    "fur": ("fur",),
    "sand": ("sand",),
    "water": ("water", "rippled water"),
    "stone": ("stone", "cobblestone"),
    "metal": ("metal", "steel"),
}
# Landscape -> nouns; phrases for a thing in it.
LANDSCAPE_NOUNS = {
    "meadow": ("meadow", "field"),
    "beach": ("beach",),
    "sea": ("sea", "ocean wave"),
    "snow": ("snow", "falling snow"),
    "night sky": ("night sky", "starry sky"),
    "sunset": ("sunset",),
    "desert": ("desert", "sand dune"),
    "forest": ("forest", "tree trunk", "woods"),
    "road": ("road", "asphalt"),
    "blue sky": ("blue sky with clouds",),
}
LANDSCAPE_PLACES = {
    "meadow": ("in a meadow", "in a field", "in front of a green meadow"),
    "beach": ("on a beach", "on the beach"),
    "sea": ("on the sea", "in front of the sea"),
    "snow": ("in the snow", "in front of snow"),
    "night sky": ("in the night sky", "at night"),
    "sunset": ("in front of a sunset", "at sunset"),
    "desert": ("in the desert", "in front of a sand dune"),
    "forest": ("in a forest", "in the woods"),
    "road": ("on a road", "on the road"),
    "blue sky": ("in a blue sky with clouds", "in front of a cloudy sky"),
}
# Phrases that need particular facts, mostly several at once.
JOINT = {
    "goldfish": ("object=fish", "colour=orange"),
    "green leaf": ("object=leaf", "colour=green"),
    "autumn leaf": ("object=leaf", "colour=orange"),
    "gold": ("texture=metal", "colour=yellow"),
    "silver": ("texture=metal", "colour=grey"),
    "iron": ("texture=metal", "colour=black"),
    "black and white": ("shows=black", "shows=white"),
    "chimney": ("object=house",),
    "blue sky": ("shows=blue sky",),
    "flower petal": ("shows=flower",),
}
COUNTS = {2: "two", 3: "three", 4: "four"}
OPENINGS = ("", "", "", "", "a photo of ", "a picture of ", "an image of ", "a drawing of ")
