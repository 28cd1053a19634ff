# ruff: noqa: E501
"""How addresses are written, by locale: a table.

In patterns `{n}` is the house number, `{core}` the street's own name, `{zip}` the code (`#` a digit, `@` a
letter), `{u}` a unit's number, `{st}` the state's abbreviation.
"""

from typing import NamedTuple


class AddressFormat(NamedTuple):
    """Patterns of one locale; alternatives are separated by `|`."""

    street: str
    line: str
    units: str
    locality: str
    zip: str
    country: str
    cores: str = ""


_US_STREET = (
    "{core} Street|{core} St|{core} St.|{core} Avenue|{core} Ave|{core} Ave.|{core} Road|{core} Rd|{core} Drive"
    "|{core} Dr|{core} Lane|{core} Ln|{core} Boulevard|{core} Blvd|{core} Court|{core} Ct|{core} Way|{core} Place"
    "|{core} Pl|{core} Terrace|{core} Circle|{core} Parkway|{core} Pkwy|{core} Trail|{core} Loop|{core} Square"
    "|{core} Plaza|{core} Highway|{core} Run|{core} Crossing|N {core} St|E. {core} Street|West {core} Avenue"
    "|{core} St NW|SW {core} Avenue|Old {core} Road|{core} Creek Road|{core} Hill Drive|State Route ##|County Road ###"
    "|Highway ##|Calle {core}|Via {core}|Camino {core}|Rue {core}"
)
_GB_STREET = (
    "{core} Street|{core} Road|{core} Lane|{core} Avenue|{core} Close|{core} Gardens|{core} Crescent|{core} Mews|{core} Terrace"
    "|{core} Grove|{core} Drive|{core} Way|{core} Hill|{core} Court|{core} Place|{core} Rise|{core} Walk|{core} Green"
    "|The {core}|Upper {core} Street|{core} Rd|{core} St"
)
_DE_STREET = (
    "{core}straße|{core}strasse|{core}str.|{core}weg|{core}gasse|{core}allee|{core}platz|{core}ring|{core}ufer"
    "|{core}-Straße|{core}er Straße|Am {core}|An der {core}|Im {core}|Alte {core}straße"
)
_ES_STREET = "Calle {core}|C/ {core}|Calle de {core}|Avenida {core}|Av. {core}|Avda. de {core}|Paseo de {core}|Plaza {core}|Camino de {core}|Ronda {core}|Carrera ##|Calle ##"
_FR_STREET = "rue {core}|rue de {core}|Rue {core}|avenue {core}|Avenue de {core}|boulevard {core}|bd {core}|place {core}|chemin de {core}|allée {core}|impasse {core}|quai {core}"
_IT_STREET = "Via {core}|via {core}|Viale {core}|Piazza {core}|Corso {core}|Vicolo {core}|Largo {core}|Strada {core}|Contrada {core}"
_PT_STREET = "Rua {core}|R. {core}|Rua do {core}|Avenida {core}|Av. {core}|Travessa {core}|Praça {core}|Alameda {core}|Estrada {core}"
_NL_STREET = (
    "{core}straat|{core}laan|{core}weg|{core}plein|{core}kade|{core}gracht|{core}dijk|{core}hof|{core}pad"
)
_SV_STREET = "{core}gatan|{core}vägen|{core}gränd|{core}torget|Stora {core}gatan|{core}stigen"

_NATURE_DE = "Haupt, Bahnhof, Garten, Linden, Schiller, Goethe, Berg, Wald, Kirch, Schul, Rosen, Mühlen, Dorf, Wiesen, Birken, Buchen, Eichen, Markt, Friedrich, Kaiser, Bismarck, Mozart, Beethoven, Sonnen, Ring, Tal, Feld, Brunnen, Hafen, Schloss"
_NATURE_ES = "Mayor, San Juan, Real, del Sol, Constitución, Libertad, Independencia, Cervantes, Goya, Colón, Alcalá, Serrano, Hidalgo, Juárez, Bolívar, San Martín, Insurgentes, Reforma, las Flores, los Olivos, Santa María, del Carmen, Nueva, del Prado"
_NATURE_FR = "Victor Hugo, de la République, de la Gare, des Lilas, du Moulin, de l'Église, Pasteur, Jean Jaurès, Voltaire, des Fleurs, Saint-Michel, du Général de Gaulle, Molière, des Roses, du Château, de la Paix, Gambetta, Lafayette, de Rivoli"
_NATURE_IT = "Roma, Garibaldi, Mazzini, Dante, Verdi, Cavour, Vittorio Emanuele, Marconi, Manzoni, Leopardi, della Repubblica, San Marco, Santa Lucia, dei Mille, XX Settembre, Montenapoleone, del Corso, Nazionale"
_NATURE_PT = "das Flores, Sete de Setembro, Quinze de Novembro, do Comércio, Augusta, Santos Dumont, Tiradentes, São João, da Liberdade, Brasil, Paulista, das Palmeiras, Dom Pedro, Santa Catarina, do Carmo"
_NATURE_NL = "Kerk, Dorps, School, Molen, Stations, Wilhelmina, Juliana, Beatrix, Prinsen, Keizers, Heren, Linden, Eiken, Beuken, Nieuwe, Markt, Haven, Brug, Singel, Park"
_NATURE_SV = "Stor, Kungs, Drottning, Kyrko, Skol, Björk, Tall, Ek, Ring, Sveavägs, Söder, Norra, Östra, Väster, Hamn, Strand, Linne, Park, Köpmans"
_NATURE_PL = "Polna, Leśna, Słoneczna, Krótka, Szkolna, Ogrodowa, Lipowa, Brzozowa, Kwiatowa, Kościelna, Mickiewicza, Słowackiego, Kościuszki, Piłsudskiego, Sienkiewicza, Długa, Nowa, Wiejska, Kopernika, Marszałkowska"
_NATURE_TR = "Atatürk, Cumhuriyet, İstiklal, Bağdat, Gazi, Fatih, Mevlana, Lale, Gül, Çınar, Zafer, Hürriyet, Barbaros, Menekşe, Papatya, Yıldız, Deniz, İnönü"

# House and street most often; boxes, rural routes and military addresses now and then.
_US_LINE = "|".join(
    ["{n} {street}"] * 16
    + ["PO Box {n}", "P.O. Box {n}", "RR # Box ##", "PSC ##, Box ####", "Unit #### Box ####", "One {street}"]
)
_APT_US = "Apt {u}|Apt. {u}|Apartment {u}|№{u}|Suite {u}|Ste {u}|Unit {u}|Floor #|Apt #@|Building @|Rm ###"
_FLAT = "Flat {u}|Flat @|Unit {u}|Apartment {u}|#st Floor"

FORMATS: dict[str, AddressFormat] = {
    "en_US": AddressFormat(_US_STREET, _US_LINE, _APT_US, "{city}, {st} {zip}|{city}, {state} {zip}|{city} {st} {zip}|{city}, {st}|{city}|{city}, {st}, {zip}", "#####|#####|#####|#####-####", "USA|United States|US|U.S.A."),
    "en_CA": AddressFormat(_US_STREET, "{n} {street}|{u}-{n} {street}", _APT_US, "{city}, {st} {zip}|{city} {st}  {zip}|{city}, {state}", "@#@ #@#|@#@#@#", "Canada"),
    "en_GB": AddressFormat(_GB_STREET, "{n} {street}|{n} {street}|{n}, {street}|{n}@ {street}|{core} House, {n} {street}|{core} Cottage, {street}|The Old {core}, {street}", _FLAT, "{city} {zip}|{city}, {zip}|{city}|{city}, {state} {zip}", "@@# #@@|@## #@@|@# #@@|@@## #@@|@@#@ #@@", "United Kingdom|UK|England|Scotland|Great Britain"),
    "en_IE": AddressFormat(_GB_STREET, "{n} {street}", _FLAT, "{city}|{city}, Co. {state}|Dublin #, {zip}|{city} {zip}", "@## @#@#", "Ireland"),
    "en_AU": AddressFormat(_GB_STREET, "{n} {street}|{u}/{n} {street}", _FLAT, "{city} {st} {zip}|{city}, {st} {zip}|{city}, {zip}", "####", "Australia"),
    "en_NZ": AddressFormat(_GB_STREET, "{n} {street}|{u}/{n} {street}", _FLAT, "{city} {zip}|{city}", "####", "New Zealand"),
    "en_IN": AddressFormat("{core} Road|{core} Nagar|{core} Marg|{core} Street|##th Cross Road|##th Main, {core} Nagar|{core} Colony|{core} Layout|Sector ##, {core}|{core} Enclave|{core} Chowk|{core} Vihar|M.G. Road|{core} Salai", "{n}, {street}|H.No. {n}, {street}|Plot No. {n}, {street}|{n}/# {street}|Door No. {n}, {street}|№{n}, {street}", "Flat {u}|Flat No. {u}, {core} Apartments|#nd Floor|Tower @|Block @", "{city} {zip}|{city} - {zip}|{city}, {state} {zip}|{city}-{zip}, {state}|{city}", "######|### ###", "India"),
    "en_PK": AddressFormat("{core} Road|Street ##, {core} Town|{core} Colony|Block @, {core}|Main {core} Road", "House {n}, {street}|House No. {n}, {street}|{n} {street}", "Flat {u}|Floor #", "{city} {zip}|{city}", "#####", "Pakistan"),
    "en_KE": AddressFormat("{core} Road|{core} Avenue|{core} Lane|{core} Street", "{n} {street}|P.O. Box {n}###, {street}", "#nd Floor|Suite {u}", "{city} {zip}|{city}", "00###|#####", "Kenya"),
    "en_NG": AddressFormat("{core} Street|{core} Close|{core} Crescent|{core} Road", "{n} {street}|No. {n}, {street}|Plot {n}, {street}", "Flat {u}", "{city}|{city} {zip}", "######", "Nigeria"),
    "zu_ZA": AddressFormat("{core} Street|{core} Road|{core} Avenue|{core}straat", "{n} {street}", "Unit {u}", "{city} {zip}|{city}, {zip}", "####", "South Africa"),
    "de_DE": AddressFormat(_DE_STREET, "{street} {n}|{street} {n}@", "#. OG|Hinterhaus|App. {u}|c/o {core}", "{zip} {city}|D-{zip} {city}|{city}", "#####", "Deutschland|Germany", _NATURE_DE),
    "de_AT": AddressFormat(_DE_STREET, "{street} {n}|{street} {n}/#/##", "Top {u}|Stiege #", "{zip} {city}|A-{zip} {city}", "####", "Österreich|Austria", _NATURE_DE),
    "de_CH": AddressFormat("{core}strasse|{core}weg|{core}gasse|{core}platz|{core}halde", "{street} {n}|{street} {n}@", "#. Stock", "{zip} {city}|CH-{zip} {city}", "####", "Schweiz|Switzerland", _NATURE_DE),
    "fr_FR": AddressFormat(_FR_STREET, "{n} {street}|{n}, {street}|{n} bis {street}", "Apt {u}|Bâtiment @|Bât. @|#e étage|Résidence {core}", "{zip} {city}|{zip} {city} Cedex|{city}", "#####", "France", _NATURE_FR),
    "fr_BE": AddressFormat(_FR_STREET, "{street} {n}|{street}, {n}", "bte {u}|boîte {u}", "{zip} {city}|B-{zip} {city}", "####", "Belgique|Belgium|België", _NATURE_FR),
    "fr_CA": AddressFormat(_FR_STREET, "{n}, {street}|{n} {street}", "app. {u}|bureau {u}", "{city} (Québec) {zip}|{city}, QC {zip}", "@#@ #@#", "Canada", _NATURE_FR),
    "es_ES": AddressFormat(_ES_STREET, "{street}, {n}|{street} {n}|{street} nº {n}", "#º @|piso #|#º izq.|Esc. @, #º|Apt. {u}", "{zip} {city}|{city}, {zip}|{zip} {city} ({state})|{city}", "#####", "España|Spain", _NATURE_ES),
    "es_MX": AddressFormat(_ES_STREET, "{street} {n}|{street} No. {n}|{street} №{n}", "Int. {u}|Depto. {u}|Col. {core}", "{zip} {city}, {state}|C.P. {zip}, {city}|{city}", "#####", "México|Mexico", _NATURE_ES),
    "es_AR": AddressFormat(_ES_STREET, "{street} {n}##|{street} {n}", "Piso # Dto. @|#º @", "{zip} {city}|C####@@@ {city}|{city}", "@####|####", "Argentina", _NATURE_ES),
    "es_CO": AddressFormat("Calle ##|Carrera ##|Cra. ##|Avenida {core}|Transversal ##|Diagonal ##|Cl. ###", "{street} № ##-##|{street} №{n}-##|{street} No. ##-##", "Apto {u}|Apartamento {u}|Torre #", "{city}|{city}, {zip}", "######", "Colombia", _NATURE_ES),
    "es_CL": AddressFormat(_ES_STREET, "{street} {n}##|{street} N° {n}", "Depto. {u}|Of. {u}", "{city}|{zip} {city}", "#######", "Chile", _NATURE_ES),
    "it_IT": AddressFormat(_IT_STREET, "{street} {n}|{street}, {n}|{street} n. {n}|{street} {n}/@", "Int. {u}|Scala @|Piano #", "{zip} {city}|{zip} {city} ({st})|{zip}, {city}|{city} ({st})", "#####", "Italia|Italy", _NATURE_IT),
    "pt_BR": AddressFormat(_PT_STREET, "{street}, {n}|{street} {n}|{street}, nº {n}", "Apto {u}|Apto. {u}, Bloco @|Sala {u}|Casa #", "{city} - {st}, {zip}|{city}/{st}|{city}, {st}|{zip} {city} / {st}|{city} - {st}", "#####-###", "Brasil|Brazil", _NATURE_PT),
    "pt_PT": AddressFormat(_PT_STREET, "{street}, {n}|{street} {n}|{street} nº{n}", "#º Dto|#º Esq.|R/C", "{zip} {city}|{city}", "####-###", "Portugal", _NATURE_PT),
    "nl_NL": AddressFormat(_NL_STREET, "{street} {n}|{street} {n}@|{street} {n}-#|{street} {n} bis", "@|huis", "{zip} {city}|{zip}, {city}|{city}", "#### @@|####@@", "Nederland|Netherlands|The Netherlands", _NATURE_NL),
    "pl_PL": AddressFormat("ul. {core}|ulica {core}|al. {core}|aleja {core}|pl. {core}|os. {core}|{core}", "{street} {n}|{street} {n}/##|{street} {n} m. ##", "m. {u}|lok. {u}", "{zip} {city}|{city} {zip}|{city}", "##-###", "Polska|Poland", _NATURE_PL),
    "cs_CZ": AddressFormat("{core}|{core} ulice|ul. {core}|náměstí {core}|třída {core}|Na {core}", "{street} {n}|{street} {n}/##", "byt {u}|#. patro", "{zip} {city}|{city} #, {zip}", "### ##", "Česko|Czech Republic"),
    "sk_SK": AddressFormat("{core}|ul. {core}|{core} ulica|námestie {core}", "{street} {n}|{street} {n}/##", "byt {u}", "{zip} {city}", "### ##", "Slovensko|Slovakia"),
    "hu_HU": AddressFormat("{core} utca|{core} u.|{core} út|{core} tér|{core} körút", "{street} {n}.|{street} {n}", "#. em. #|#/#", "{zip} {city}|{city}, {zip}", "####", "Magyarország|Hungary"),
    "ro_RO": AddressFormat("Strada {core}|Str. {core}|Bulevardul {core}|Bd. {core}|Calea {core}|Aleea {core}", "{street} nr. {n}|{street} {n}|{street}, Nr. {n}", "bl. @#, sc. @, ap. {u}|ap. {u}", "{city} {zip}|{zip} {city}|{city}", "######", "România|Romania"),
    "hr_HR": AddressFormat("Ulica {core}|{core} ulica|{core} cesta|Trg {core}|Ulica kralja {core}", "{street} {n}|{street} {n}@", "kat #", "{zip} {city}|HR-{zip} {city}", "#####", "Hrvatska|Croatia"),
    "sv_SE": AddressFormat(_SV_STREET, "{street} {n}|{street} {n} @", "lgh {u}|lgh 1###|# tr", "{zip} {city}|SE-{zip} {city}|{city}", "### ##", "Sverige|Sweden", _NATURE_SV),
    "da_DK": AddressFormat("{core}gade|{core}vej|{core}allé|{core}stræde|{core}parken|{core}torv", "{street} {n}|{street} {n}@", "#. tv|#. th|st. mf", "{zip} {city}|DK-{zip} {city}", "####", "Danmark|Denmark", _NATURE_SV),
    "no_NO": AddressFormat("{core}gata|{core}veien|{core}vegen|{core} gate|{core}stien", "{street} {n}|{street} {n}@", "H0###|leil. {u}", "{zip} {city}|N-{zip} {city}", "####", "Norge|Norway", _NATURE_SV),
    "fi_FI": AddressFormat("{core}katu|{core}tie|{core}kuja|{core}polku|{core}nkatu|{core}ntie", "{street} {n}|{street} {n} @ ##", "as. {u}", "{zip} {city}|FI-{zip} {city}", "#####", "Suomi|Finland"),
    "tr_TR": AddressFormat("{core} Caddesi|{core} Cad.|{core} Sokak|{core} Sk.|{core} Bulvarı|{core} Mahallesi", "{street} No: {n}|{street} No:{n}|{street} {n}|{street} No: {n}/#", "Daire {u}|D: {u}|Kat #", "{zip} {city}|{city}|{zip} {city}", "#####", "Türkiye|Turkey", _NATURE_TR),
    "id_ID": AddressFormat("Jalan {core}|Jl. {core}|Jl. Raya {core}|Gang {core}", "{street} No. {n}|{street} {n}", "RT 0##/RW 0##|Lantai #", "{city} {zip}|{city}", "#####", "Indonesia"),
    "vi_VN": AddressFormat("đường {core}|phố {core}|{core} Street|Đường {core}", "{n} {street}|Số {n} {street}|{n}/## {street}", "Tầng #|Phòng {u}", "{city}|Quận #, {city}|{city} {zip}", "######", "Việt Nam|Vietnam"),
    "ja_JP@latin": AddressFormat("{core}-cho|{core}|{core}-machi|Higashi-{core}|Minami-{core}|Kita-{core}", "#-##-# {street}|{n}-# {street}|#-chome-##-# {street}", "Room {u}|{core} Mansion {u}|#F", "{city}|{city} {zip}|{city}-shi {zip}", "###-####", "Japan"),
    "zh_CN@latin": AddressFormat("{core} Road|{core} Lu|{core} Street|{core} East Road|{core} Avenue|West {core} Road", "No. {n} {street}|{n} {street}|{n} {street}, {core} District", "Room {u}|Building #|#/F", "{city}|{city} {zip}|{city}, {zip}", "######", "China|P.R. China"),
}  # fmt: skip
