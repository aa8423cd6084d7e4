"""What the sample menus say: restaurants and dishes invented for this project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Dish:
    name: str
    price: float
    description: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    dishes: tuple[Dish, ...]


@dataclass(frozen=True, slots=True)
class SampleMenu:
    """A menu as its guests read it. ``footer`` are the lines below the dishes."""

    title: str
    slogan: str
    sections: tuple[Section, ...]
    footer: tuple[str, ...]
    currency: str

    def truth(self) -> dict[str, Any]:
        """What a perfect extraction finds, in the form of a result without confidences."""
        categories = [
            {
                "name": section.name,
                "items": [
                    {"name": dish.name, "price": dish.price}
                    | ({"description": dish.description} if dish.description else {})
                    for dish in section.dishes
                ],
            }
            for section in self.sections
        ]
        superfluous = [self.title, self.slogan, *self.footer]
        return {"menu": {"categories": categories}, "currency": self.currency, "superfluousText": superfluous}


ONE_COLUMN = SampleMenu(
    "MARLOW & FINCH",
    "Kitchen by the canal",
    (
        Section(
            "Small Plates",
            (
                Dish("Charred Leeks", 8.5, "romesco, toasted hazelnuts"),
                Dish("Smoked Trout Toast", 11.0, "horseradish cream, pickled cucumber"),
                Dish("Whipped Feta", 9.25, "honey, thyme, warm flatbread"),
                Dish("Beef Tartare", 13.5, "egg yolk, capers, potato crisps"),
            ),
        ),
        Section(
            "Mains",
            (
                Dish("Roast Half Chicken", 19.0, "lemon, garlic, hand cut chips"),
                Dish("Barley Risotto", 16.5, "wild mushrooms, aged cheddar"),
                Dish("Pan Fried Sea Bream", 22.75, "fennel, new potatoes, green sauce"),
                Dish("Slow Braised Short Rib", 24.5, "celeriac puree, crispy shallots"),
            ),
        ),
        Section(
            "Puddings",
            (
                Dish("Burnt Honey Tart", 7.5, "creme fraiche"),
                Dish("Dark Chocolate Pot", 7.0, "sea salt, almond biscuit"),
                Dish("Poached Pear", 6.75),
            ),
        ),
    ),
    ("Please tell us about any allergies before you order", "Open Wednesday to Sunday, 12.00 - 22.00"),
    "USD",
)

TWO_COLUMNS = SampleMenu(
    "OSTERIA LUMEN",
    "Cucina di mare e di terra",
    (
        Section(
            "Antipasti",
            (
                Dish("Focaccia della Casa", 4.5),
                Dish("Burrata e Pomodoro", 11.9, "heirloom tomatoes, basil oil"),
                Dish("Vitello Tonnato", 13.5, "veal, tuna sauce, capers"),
                Dish("Fritto di Calamari", 12.8, "lemon, parsley, aioli"),
            ),
        ),
        Section(
            "Pasta",
            (
                Dish("Tagliatelle al Ragu", 14.9, "slow cooked beef and pork"),
                Dish("Spaghetti alle Vongole", 17.5, "clams, white wine, chilli"),
                Dish("Gnocchi Verdi", 13.2, "spinach, gorgonzola, walnuts"),
                Dish("Ravioli di Zucca", 14.4, "pumpkin, sage butter, amaretti"),
            ),
        ),
        Section(
            "Secondi",
            (
                Dish("Saltimbocca", 21.0, "veal, prosciutto, sage"),
                Dish("Branzino al Forno", 24.5, "sea bass, olives, cherry tomatoes"),
                Dish("Melanzane alla Parmigiana", 15.8, "aubergine, mozzarella, basil"),
            ),
        ),
        Section(
            "Dolci",
            (
                Dish("Tiramisu", 7.2),
                Dish("Panna Cotta", 6.8, "raspberries, pistachio"),
                Dish("Affogato al Caffe", 5.9),
            ),
        ),
        Section(
            "Bevande",
            (
                Dish("Acqua Frizzante", 3.5),
                Dish("Chinotto", 4.2),
                Dish("Vino della Casa", 5.8, "red or white, 0.2 l"),
            ),
        ),
    ),
    ("All prices include VAT and service", "Via dei Pini 14 - Tel. (055) 555-0147", "www.osterialumen.example"),
    "EUR",
)

TILTED_PHOTO = SampleMenu(
    "THE TIN LANTERN",
    "Burgers, bowls and cold beer",
    (
        Section(
            "BURGERS",
            (
                Dish("Lantern Classic", 12.0, "beef, cheddar, pickles"),
                Dish("Smoke House", 14.0, "bacon, onion rings, bbq sauce"),
                Dish("Garden Stack", 11.5, "bean patty, avocado, slaw"),
                Dish("Hot Hen", 13.0, "fried chicken, chilli honey"),
            ),
        ),
        Section(
            "BOWLS",
            (
                Dish("Miso Salmon", 15.5, "brown rice, edamame, radish"),
                Dish("Falafel and Greens", 12.5, "quinoa, hummus, mint"),
                Dish("Carnitas", 13.5, "black beans, corn, lime"),
            ),
        ),
        Section(
            "SIDES",
            (
                Dish("Skin On Fries", 4.5),
                Dish("Sweet Potato Wedges", 5.0),
                Dish("Charred Corn", 4.75),
                Dish("House Slaw", 3.5),
            ),
        ),
        Section(
            "DRINKS",
            (
                Dish("Cloudy Lemonade", 3.75),
                Dish("Ginger Beer", 4.0),
                Dish("Harbour Pale Ale", 6.25),
            ),
        ),
    ),
    ("Follow us @thetinlantern", "Please order at the bar"),
    "USD",
)
